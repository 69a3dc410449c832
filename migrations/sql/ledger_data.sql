-- The chart of accounts and the operations. Limits of the city are rows, changed by the city, not by a release.
set role wallet_ledger;
insert into ledger.city(zone, day_max_minor, free_max_minor_cap, free_daily_count_cap, payment_open_seconds)
  values ('Asia/Shanghai', 500000, 20000, 10, 900);
insert into ledger.account_role values
  (1, 'RESIDENT'), (2, 'MERCHANT'), (3, 'BANK_CLEARING'), (4, 'FEES'), (5, 'SUSPENSE'), (6, 'REFUND_ADVANCES');
insert into ledger.account(id, role, currency, may_overdraw, at, day_max, opened_at)
  select n, r, 'CNY', overdraw, ledger.now(), 9223372036854775807, ledger.now()
    from (values (1, 3, true), (2, 4, false), (3, 5, false), (4, 6, true)) as a(n, r, overdraw);
-- payment states: 1 awaiting confirmation, 2 succeeded, 3 cancelled, 4 expired, 5 refund under review, 6 refunded
insert into ledger.operation
  (id, name, effect, login, actor_is, debit_roles, credit_roles, from_states, to_state, needs_proof, counts_limit, ignores_freeze) values
  (10, 'TOP_UP',          'NONE',           'wallet_worker', 'SYSTEM', '{3}',   '{1}',   '{}',  null, false, false, false),
  (20, 'TRANSFER',        'NONE',           null,            'OWNER',  '{1}',   '{1}',   '{}',  null, true,  true,  false),
  (30, 'CREATE_PAYMENT',  'CREATE_PAYMENT', null,            'OWNER',  '{1}',   '{2}',   '{}',  2,    false, true,  false),
  (31, 'CONFIRM_PAYMENT', 'CONFIRM',        null,            'OWNER',  '{1}',   '{2}',   '{1}', 2,    true,  true,  false),
  (32, 'CANCEL_PAYMENT',  'CLOSE',          null,            'OWNER',  '{1}',   '{1}',   '{1}', 3,    false, false, true),
  (33, 'EXPIRE_PAYMENT',  'CLOSE',          'wallet_worker', 'SYSTEM', '{1}',   '{1}',   '{1}', 4,    false, false, true),
  (40, 'REQUEST_REFUND',  'REQUEST_REFUND', null,            'OWNER',  '{1}',   '{1}',   '{2}', 5,    false, false, true),
  (41, 'APPROVE_REFUND',  'APPROVE_REFUND', null,            'STAFF',  '{2,6}', '{1}',   '{5}', 6,    false, false, true),
  (42, 'REJECT_REFUND',   'REJECT_REFUND',  null,            'STAFF',  '{1}',   '{1}',   '{5}', 2,    false, false, true),
  (50, 'FREEZE',          'FREEZE',         null,            'STAFF',  '{1,2}', '{1,2}', '{}',  null, false, false, true),
  (51, 'UNFREEZE',        'UNFREEZE',       null,            'STAFF',  '{1,2}', '{1,2}', '{}',  null, false, false, true),
  (60, 'SET_ALLOWANCE',   'SET_ALLOWANCE',  null,            'OWNER',  '{1}',   '{1}',   '{}',  null, true,  false, true);
reset role;
