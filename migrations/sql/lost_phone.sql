-- Accounts whose phone is lost: what the logins may do with wishes to move them, and what these refuse by themselves.
alter table verification_code
  drop constraint verification_code_purpose,
  add constraint verification_code_purpose check
    (purpose in ('REGISTER', 'LOGIN', 'PAYMENT', 'RESET_PASSWORD', 'CHANGE_PHONE', 'REPLACE_PHONE', 'STEP_UP', 'CONTACT_EMAIL'));

revoke delete on phone_replacement from wallet_api;
revoke update on phone_replacement from wallet_api, wallet_worker;
grant update (tries_left, used_at, new_phone) on phone_replacement to wallet_api, wallet_worker;
alter table phone_replacement
  add constraint phone_replacement_tries check (tries_left between 0 and 5),
  add constraint phone_replacement_life check (expires_at > created_at),
  add constraint phone_replacement_another check (old_phone_index <> new_phone_index),
  add constraint phone_replacement_forgets check ((used_at is null) = (length(new_phone) > 0));
create trigger phone_replacement_used_once before update on phone_replacement
  for each row when (old.used_at is not null) execute function ledger.refuse_change();

-- What a case is good for stays as it was asked for: nobody but its insert writes the kind. Only the worker, which
-- seals anew, may write the number; not the API, which could otherwise send an approved account elsewhere.
grant update (new_phone) on recovery_case to wallet_worker;
alter table recovery_case
  add constraint recovery_case_kind check (kind in ('PASSWORD', 'PHONE')),
  add constraint recovery_case_new_phone check ((new_phone is not null) = (kind = 'PHONE')),
  add constraint recovery_case_phone_known check (kind <> 'PHONE' or (ended_at is null) = (length(new_phone) > 0));

-- Where an account was to move is of no use once the case has ended, however it did.
create function forget_new_phone() returns trigger language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  new.new_phone := ''::bytea;
  return new;
end $$;
create trigger recovery_case_forgets_the_number before update on recovery_case
  for each row when (new.ended_at is not null and length(new.new_phone) > 0) execute function forget_new_phone();
