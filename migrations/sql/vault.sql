-- Seals over the audit log, written by the worker only and never rewritten; rotations of keys.
revoke insert, update, delete on audit_seal, audit_leaf from wallet_api;
revoke update, delete on audit_seal, audit_leaf from wallet_worker;
revoke update, delete on key_rotation from wallet_api;
revoke delete on key_rotation from wallet_worker;

create index audit_seal_first on audit_seal(first_seq);
create trigger audit_seal_append_only before update or delete on audit_seal
  for each row execute function ledger.refuse_change();
create trigger audit_seal_never_truncated before truncate on audit_seal
  for each statement execute function ledger.refuse_change();
create trigger audit_leaf_append_only before update or delete on audit_leaf
  for each row execute function ledger.refuse_change();
create trigger audit_leaf_never_truncated before truncate on audit_leaf
  for each statement execute function ledger.refuse_change();

alter table audit_seal
  add constraint audit_seal_counts check (id > 0 and first_seq > 0 and count >= 0);
alter table audit_leaf
  add constraint audit_leaf_seq check (seq > 0);
alter table key_rotation
  add constraint key_rotation_key check (key between 1 and 65535),
  add constraint key_rotation_state check (state in ('RUNNING', 'DONE')),
  add constraint key_rotation_phase check (phase in ('START', 'RESEAL', 'COUNT')),
  add constraint key_rotation_finished check ((state = 'DONE') = (finished_at is not null));
create unique index key_rotation_running on key_rotation(state) where state = 'RUNNING';
grant update (token) on push_token to wallet_worker;  -- to seal it anew
