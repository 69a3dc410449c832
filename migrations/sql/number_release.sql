-- A case may also let go of a number, and then nothing is left in the account by which its new holder could be reached.
alter table recovery_case
  drop constraint recovery_case_kind,
  add constraint recovery_case_kind check (kind in ('PASSWORD', 'PHONE', 'RELEASE'));
alter table users
  add constraint users_released check ((former_phone_index is null) or (length(phone) = 0 and phone_index = 'released:' || id));
create index users_former_phone_index on users(former_phone_index);
