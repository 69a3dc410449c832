-- Where notices are told outside the app: what users decided, and the push tokens of their sessions.
revoke delete on notice_preference from wallet_api, wallet_worker;
revoke insert, update on notice_preference, push_token from wallet_worker;

alter table notice_preference
  add constraint notice_preference_channel check (channel in ('SMS', 'PUSH')),
  add constraint notice_preference_group check (notice_group in ('PAYMENTS', 'REFUNDS', 'ACCOUNT', 'SERVICE'));
alter table push_token
  add constraint push_token_platform check (platform in ('IOS', 'ANDROID', 'HARMONY')),
  add constraint push_token_session foreign key (session_id) references session(id) on delete cascade;

-- Whoever ends a session, in whichever way: its app is told nothing more.
create function forget_push_token() returns trigger language plpgsql
set search_path = pg_catalog, public, pg_temp as $$
begin
  delete from public.push_token where session_id = new.id;
  return null;
end $$;
create trigger session_takes_its_push_token after update of revoked_at on session
  for each row when (new.revoked_at is not null) execute function forget_push_token();
