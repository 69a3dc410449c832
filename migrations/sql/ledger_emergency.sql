-- What protects a wallet in an emergency: its owner freezes it, and for a while little may leave it.
set role wallet_ledger;
alter table ledger.account
  add column frozen_by_owner boolean not null default false,
  add column caution_until timestamptz not null default '-infinity',
  add column caution_day_max bigint not null default 0,   -- what may leave in a day until then, instead of day_max
  add constraint account_frozen_by_owner check (not frozen_by_owner or status in (2, 3)),
  add constraint account_caution check (caution_day_max >= 0);
insert into ledger.operation
  (id, name, effect, login, actor_is, debit_roles, credit_roles, from_states, to_state, needs_proof, counts_limit, ignores_freeze) values
  (52, 'FREEZE_OWN',   'FREEZE',      null, 'OWNER',  '{1,2}', '{1,2}', '{}', null, false, false, true),
  (53, 'UNFREEZE_OWN', 'UNFREEZE',    null, 'OWNER',  '{1,2}', '{1,2}', '{}', null, true,  false, true),
  (61, 'SET_CAUTION',  'SET_CAUTION', null, 'SYSTEM', '{1}',   '{1}',   '{}', null, false, false, true);
reset role;
