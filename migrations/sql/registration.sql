-- What applicants tell of themselves, and how well the city knows them.
alter table users
  add constraint users_kyc_level check (kyc_level in ('PHONE', 'IDENTITY', 'BANK_CARD')),
  add constraint users_known_by_id check (kyc_level = 'PHONE' or id_number is not null),
  add constraint users_id_number_found check ((id_number is null) = (id_number_index is null)),
  add constraint users_rejections check (rejections >= 0);
create index users_id_number_index on users(id_number_index);
