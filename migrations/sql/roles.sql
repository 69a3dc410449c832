-- Roles of an installation. Logins and passwords are given by whoever runs it (docs/how-to/run.md).
--   wallet_ledger   owns the money tables and functions; nobody logs in as it
--   wallet_api      what the API processes log in as
--   wallet_worker   what the workers log in as; the only one that may settle bank money
do $$
declare
  name text;
begin
  foreach name in array array['wallet_ledger', 'wallet_api', 'wallet_worker'] loop
    if not exists (select from pg_roles where rolname = name) then
      begin
        execute format('create role %I nologin', name);
      exception when duplicate_object or unique_violation then null;  -- another database of the cluster was faster
      end;
    end if;
    if not pg_has_role(current_user, name, 'SET') then
      execute format('grant %I to current_user with set true, inherit true', name);
    end if;
  end loop;
  execute format('revoke temporary on database %I from public', current_database());
  execute format('grant create on database %I to wallet_ledger', current_database());
end $$;
revoke create on schema public from public;
