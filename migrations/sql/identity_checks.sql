-- One open check a user; what was handed in is gone once it is decided.
alter table identity_check
  add constraint identity_check_state check (state in ('PENDING_REVIEW', 'REFERRED', 'APPROVED', 'REJECTED')),
  add constraint identity_check_open check ((state in ('PENDING_REVIEW', 'REFERRED')) = (name is not null and id_number is not null)),
  add constraint identity_check_emptied check ((name is null) = (id_number is null));
create unique index identity_check_one_open on identity_check(user_id) where state in ('PENDING_REVIEW', 'REFERRED');
revoke delete on identity_check from wallet_api, wallet_worker;
revoke insert on identity_check from wallet_worker;
