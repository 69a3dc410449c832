-- What the logins may do with money: read it, and ask the functions. Everything else is refused by PostgreSQL.
set role wallet_ledger;
create function ledger.open_account_v1(p_owner bigint, p_role smallint, p_currency char(3)) returns bigint
language plpgsql security definer set search_path = pg_catalog, ledger, pg_temp as $$
declare
  made bigint;
begin
  if p_owner is null or p_role not in (1, 2) then
    raise exception 'only wallets of residents and merchants are opened here' using errcode = 'WL007';
  end if;
  insert into ledger.account(owner_id, role, currency, at, day_max, opened_at)
    select p_owner, p_role, p_currency, ledger.now(), c.day_max_minor, ledger.now() from ledger.city c
    on conflict (owner_id, role, currency) where owner_id is not null do nothing
    returning id into made;
  if made is null then
    select a.id into made from ledger.account a where a.owner_id = p_owner and a.role = p_role and a.currency = p_currency;
  end if;
  return made;
end $$;

revoke all on all functions in schema ledger from public;
grant usage on schema ledger to wallet_api, wallet_worker;
grant select on all tables in schema ledger to wallet_api, wallet_worker;
alter default privileges for role wallet_ledger in schema ledger grant select on tables to wallet_api, wallet_worker;
alter default privileges for role wallet_ledger revoke execute on functions from public;
grant execute on function ledger.now(), ledger.open_account_v1(bigint, smallint, char),
  ledger.post_v1(bigint[], smallint[], text[], bytea[], uuid[], uuid[], uuid[], bytea[], text[], int[], bigint[], bigint[])
  to wallet_api, wallet_worker;
grant execute on function ledger.ensure_partitions(int) to wallet_worker;
grant insert on ledger.proof, ledger.refund_policy to wallet_api, wallet_worker;
grant update (ended_at) on ledger.refund_policy to wallet_api, wallet_worker;
grant delete on ledger.proof to wallet_worker;
grant insert, delete, update (due_at, attempts, dead, error) on ledger.outbox to wallet_api, wallet_worker;
reset role;
