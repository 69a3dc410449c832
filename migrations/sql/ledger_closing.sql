-- Closing a wallet for good. Decided under the account's lock: money that arrives at the same moment either
-- comes first, and the account stays open, or comes second, and is refused.
set role wallet_ledger;
insert into ledger.operation
  (id, name, effect, login, actor_is, debit_roles, credit_roles, from_states, to_state, needs_proof, counts_limit, ignores_freeze) values
  (70, 'CLOSE_WALLET', 'CLOSE_WALLET', 'wallet_worker', 'SYSTEM', '{1}', '{1}', '{}', null, false, false, true);
reset role;
