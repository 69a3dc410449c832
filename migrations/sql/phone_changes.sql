-- What the logins may do with wishes for another phone number, and what these refuse by themselves.
revoke delete on phone_change from wallet_api;
revoke update on phone_change from wallet_api, wallet_worker;
grant update (tries_left, used_at, new_phone) on phone_change to wallet_api, wallet_worker;
alter table phone_change
  add constraint phone_change_tries check (tries_left between 0 and 5),
  add constraint phone_change_life check (expires_at > created_at),
  add constraint phone_change_another check (old_phone_index <> new_phone_index),
  add constraint phone_change_forgets check ((used_at is null) = (length(new_phone) > 0));
create trigger phone_change_used_once before update on phone_change
  for each row when (old.used_at is not null) execute function ledger.refuse_change();
