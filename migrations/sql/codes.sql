-- Verification codes are bound to their request, and counted over all phones.
alter table verification_code
  add constraint verification_code_purpose check
    (purpose in ('REGISTER', 'LOGIN', 'PAYMENT', 'RESET_PASSWORD', 'CHANGE_PHONE', 'STEP_UP')),
  add constraint verification_code_tries check (tries_left between 0 and 5);
alter table code_total
  add constraint code_total_askers check (askers in ('OPEN', 'KNOWN')),
  add constraint code_total_period check (period in ('HOUR', 'DAY')),
  add constraint code_total_count check (count > 0);
