-- Passkeys, challenges, proofs without money and the proof policy: who may write what of them.
alter table proof_challenge
  add constraint proof_challenge_purpose check (purpose in ('PASSKEY', 'LOGIN', 'PROOF', 'STEP_UP')),
  add constraint proof_challenge_of_somebody check ((user_id is null) = (purpose = 'LOGIN')),
  add constraint proof_challenge_answered check ((used_at is null) = (answer_hash is null)),
  add constraint proof_challenge_hashes check (length(nonce_hash) = 32 and length(terms_hash) = 32);
alter table passkey
  add constraint passkey_sign_count check (sign_count >= 0);
alter table step_up
  add constraint step_up_method check (method in ('PIN', 'PASSKEY', 'PIN_AND_CODE'));
alter table proof_policy
  add constraint proof_policy_amount check (amount_min_minor >= 0),
  add constraint proof_policy_risk check (risk_min between 0 and 100),
  add constraint proof_policy_times check (valid_until > valid_from),
  add constraint proof_policy_sufficient check (jsonb_typeof(sufficient) = 'array'
    and sufficient <> '[]' and sufficient <@ '["PIN", "PIN_AND_CODE", "PASSKEY"]');

-- A key is never exchanged under its name, a challenge is never turned into another, and what was
-- used stays used: also for whoever has a login.
revoke update on proof_challenge, passkey, step_up from wallet_api, wallet_worker;
revoke delete on passkey from wallet_api, wallet_worker;
grant update (verification_id, used_at, answer_hash) on proof_challenge to wallet_api, wallet_worker;
grant update (sign_count, name, synced, last_used_at, removed_at) on passkey to wallet_api, wallet_worker;
grant update (used_at) on step_up to wallet_api, wallet_worker;
create trigger proof_challenge_used_once before update on proof_challenge
  for each row when (old.used_at is not null) execute function ledger.refuse_change();
create trigger step_up_used_once before update on step_up
  for each row when (old.used_at is not null) execute function ledger.refuse_change();
create trigger passkey_stays_removed before update on passkey
  for each row when (old.removed_at is not null) execute function ledger.refuse_change();

-- The policy is the city's: the logins only read it. A rule that began is ended, not changed.
revoke insert, update, delete on proof_policy from wallet_api, wallet_worker;
insert into proof_policy(deed, amount_min_minor, risk_min, device_younger_than_seconds, sufficient, reason, valid_from)
  select deed, amount, risk, age, sufficient::jsonb, reason, timestamptz '2020-01-01 00:00:00+00'
    from (values
      (0,      null::smallint, null::int, '["PIN", "PIN_AND_CODE", "PASSKEY"]', 'any proof for everyday amounts'),
      (100000, null,           null,      '["PIN_AND_CODE", "PASSKEY"]',        'from 1,000.00 on two factors'),
      (50000,  null,           86400,     '["PIN_AND_CODE", "PASSKEY"]',        'on a device of less than a day from 500.00 on'),
      (0,      50::smallint,   null,      '["PIN_AND_CODE", "PASSKEY"]',        'while something looks wrong')
    ) as r(amount, risk, age, sufficient, reason)
    cross join (values ('TRANSFER'), ('CONFIRM_PAYMENT')) as d(deed);
insert into proof_policy(deed, sufficient, reason, valid_from)
  values ('SET_ALLOWANCE', '["PIN", "PIN_AND_CODE", "PASSKEY"]', 'what it allows is small', timestamptz '2020-01-01 00:00:00+00');
insert into proof_policy(deed, sufficient, reason, valid_from)
  select deed, '["PIN_AND_CODE", "PASSKEY"]', 'one step from all money and data', timestamptz '2020-01-01 00:00:00+00'
    from unnest(array['CHANGE_PASSWORD', 'CHANGE_PHONE', 'UNFREEZE_OWN', 'EXPORT_DATA', 'CLOSE_ACCOUNT']) deed;
