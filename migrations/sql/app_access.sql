-- What the logins may do with the app's own tables, and what these refuse by themselves.
grant select, insert, update, delete on all tables in schema public to wallet_api, wallet_worker;
revoke insert, update, delete on tortoise_migrations from wallet_api, wallet_worker;
revoke update, delete on audit_entry, bank_event from wallet_api, wallet_worker;
revoke delete on users, top_up, merchant, bank_card, risk_case, notice from wallet_api, wallet_worker;
revoke insert, update, delete on risk_rule from wallet_api;
alter default privileges in schema public grant select, insert, update, delete on tables to wallet_api, wallet_worker;

create trigger audit_entry_append_only before update or delete on audit_entry
  for each row execute function ledger.refuse_change();
create trigger audit_entry_never_truncated before truncate on audit_entry
  for each statement execute function ledger.refuse_change();

alter table users
  add constraint users_role check
    (role in ('RESIDENT', 'MERCHANT', 'SUPPORT', 'FINANCE', 'RISK', 'COMPLIANCE', 'AUDITOR', 'ADMIN')),
  add constraint users_status check (status in ('PENDING_REVIEW', 'REFERRED', 'ACTIVE', 'REJECTED', 'CLOSED')),
  add constraint users_pin_tries check (pin_tries_left between 0 and 5);
alter table top_up
  add constraint top_up_state check (state in ('PROCESSING', 'SUCCEEDED', 'FAILED')),
  add constraint top_up_amount check (amount > 0);
alter table risk_case
  add constraint risk_case_state check (state in ('OPEN', 'APPEALED', 'LIFTED'));

insert into risk_rule(code, thresholds) values
  ('PAYMENT_BURST', '{"count": 12, "seconds": 60}'),
  ('AMOUNT_FAR_ABOVE_HABIT', '{"factor": 20, "amount_min_minor": 50000, "history_min": 5}'),
  ('DRAINED_TO_NEW_PAYEE', '{"share": 0.95, "amount_min_minor": 20000, "seconds": 600}');
insert into risk_scan(name, scanned_until, scanned_at) values ('anomalies', ledger.now(), ledger.now());

-- Notices, refund reviews, risk.
revoke delete on notice_stream, refund_review from wallet_api, wallet_worker;
create index notice_unread on notice(user_id, seq) where read_at is null;
create index risk_case_undecided on risk_case(account_id) where state in ('OPEN', 'APPEALED');
alter table notice add constraint notice_seq check (seq > 0);
alter table refund_review
  add constraint refund_review_recommendation check (recommendation in ('POLICY', 'FINANCE')),
  add constraint refund_review_policy check ((recommendation = 'POLICY') = (policy_id is not null));
alter table risk_case
  add constraint risk_case_decided check ((state = 'LIFTED') = (decided_at is not null));

-- The scan for anomalies reads postings by time. A block range index costs the posting function next to nothing.
set role wallet_ledger;
create index posting_at on ledger.posting using brin(at) with (pages_per_range = 16, autosummarize = on);
reset role;
