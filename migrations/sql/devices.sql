-- What the logins may do with devices and login challenges, and what these refuse by themselves.
-- The API never deletes: a revoked device stays, so that its key never comes back.
revoke delete on device, login_challenge from wallet_api;

alter table device
  add constraint device_platform check (platform in ('IOS', 'ANDROID', 'HARMONY', 'WEB', 'OTHER'));
alter table login_challenge
  add constraint login_challenge_tries check (tries_left between 0 and 5),
  add constraint login_challenge_life check (expires_at > created_at);
alter table session
  add constraint session_grace check ((previous_hash is null) = (refresh_salt is null)),
  add constraint session_life check (refresh_expires_at <= ends_at);

-- A device is enrolled for one person and with one key, for good.
create function refuse_device_change() returns trigger language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  if (new.id, new.user_id, new.public_key) is distinct from (old.id, old.user_id, old.public_key)
     or (old.revoked_at is not null and new.revoked_at is distinct from old.revoked_at) then
    raise exception 'a device keeps its owner and key, and stays revoked' using errcode = 'insufficient_privilege';
  end if;
  return new;
end $$;
create trigger device_keeps_its_key before update on device for each row execute function refuse_device_change();
