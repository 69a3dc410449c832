-- Getting back in: what the logins may do, and what these refuse by themselves.
revoke delete on password_reset from wallet_api;
revoke update on password_reset from wallet_api, wallet_worker;
grant update (tries_left, used_at) on password_reset to wallet_api, wallet_worker;
alter table password_reset
  add constraint password_reset_tries check (tries_left between 0 and 5),
  add constraint password_reset_life check (expires_at > created_at);
create trigger password_reset_used_once before update on password_reset
  for each row when (old.used_at is not null) execute function ledger.refuse_change();

-- A forgotten PIN is replaced by what the owner has or is, not by what else may be stolen with it.
insert into proof_policy(deed, sufficient, reason, valid_from)
  values ('RESET_PIN', '["PASSKEY"]', 'a code and the password must not buy the PIN', timestamptz '2020-01-01 00:00:00+00');

-- An app whose session ends because credentials were recovered is told so, and hears nothing else; its
-- push token is forgotten by the next run of the job that forgets.
drop trigger session_takes_its_push_token on session;
create trigger session_takes_its_push_token after update of revoked_at on session
  for each row when (new.revoked_at is not null
    and new.revoked_reason not in ('PASSWORD_CHANGED', 'PASSWORD_RESET', 'PHONE_CHANGED'))
  execute function forget_push_token();
