-- The smallest honest one-payment function: key, entry, two postings, two guarded balances; the hot row is locked last.
create schema minimal;
create table minimal.account(
  id bigint primary key, posted bigint not null, seq bigint not null default 0,
  check (posted >= 0)) with (fillfactor = 50);
create table minimal.entry(
  id uuid primary key, payer bigint not null, payee bigint not null, amount bigint not null check (amount > 0),
  key uuid not null, at timestamptz not null, unique (payer, key));
create table minimal.posting(
  account_id bigint not null, seq bigint not null, entry_id uuid not null, amount bigint not null,
  posted_after bigint not null, primary key (account_id, seq));
create function minimal.pay(p_payer bigint, p_payee bigint, p_amount bigint, p_key uuid) returns uuid
language plpgsql as $$
declare
  made uuid := uuidv7(); payer record; payee record;
begin
  insert into minimal.entry values (made, p_payer, p_payee, p_amount, p_key, clock_timestamp());
  update minimal.account set posted = posted - p_amount, seq = seq + 1 where id = p_payer returning posted, seq into payer;
  update minimal.account set posted = posted + p_amount, seq = seq + 1 where id = p_payee returning posted, seq into payee;
  insert into minimal.posting values
    (p_payer, payer.seq, made, -p_amount, payer.posted), (p_payee, payee.seq, made, p_amount, payee.posted);
  return made;
end $$;
