-- Codes that are mailed, and contact addresses that were proved by one.
alter table users
  add constraint users_email_verified check (email_verified_at is null or email is not null);
alter table verification_code
  drop constraint verification_code_purpose,
  add constraint verification_code_purpose check
    (purpose in ('REGISTER', 'LOGIN', 'PAYMENT', 'RESET_PASSWORD', 'CHANGE_PHONE', 'STEP_UP', 'CONTACT_EMAIL'));
alter table code_total
  drop constraint code_total_askers,
  add constraint code_total_askers check (askers in ('OPEN', 'KNOWN', 'MAIL'));
-- What one user has mailed is counted, whatever the address.
create index verification_code_subject on verification_code(subject, created_at);
