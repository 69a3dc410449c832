-- Two different persons, neither of them the owner, and never before the owner had time to object: also
-- for whoever has a login.
revoke delete on recovery_case from wallet_api;
revoke update on recovery_case from wallet_api, wallet_worker;
grant update (state, version, first_by, second_by, ended_at, statement) on recovery_case to wallet_api, wallet_worker;
alter table recovery_case
  add constraint recovery_case_state check (state in ('REQUESTED', 'APPROVED_ONCE', 'APPROVED', 'REJECTED', 'OBJECTED', 'USED')),
  add constraint recovery_case_two_persons check (first_by <> second_by),
  add constraint recovery_case_not_by_its_owner check (user_id <> first_by and user_id <> second_by),
  add constraint recovery_case_approved check (state not in ('APPROVED', 'USED') or (first_by is not null and second_by is not null)),
  add constraint recovery_case_once check (state <> 'APPROVED_ONCE' or first_by is not null),
  add constraint recovery_case_delay check (usable_from >= created_at + interval '12 hours' and expires_at > usable_from),
  add constraint recovery_case_ended check ((ended_at is null) = (state in ('REQUESTED', 'APPROVED_ONCE', 'APPROVED')));
create trigger recovery_case_stays_ended before update on recovery_case
  for each row when (old.ended_at is not null and new.state is distinct from old.state) execute function ledger.refuse_change();

insert into retention_rule(code, kept_days, ground_zh, ground_en) values
  ('RECOVERIES', 90, '账户安全：查明冒名找回', 'Security of accounts: finding out about strange requests to get back in');
