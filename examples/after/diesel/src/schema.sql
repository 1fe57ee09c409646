begin;

-- Instances that start at the same time make it one after the other.
select pg_advisory_xact_lock(20240517);

create table if not exists items (
    id bigint generated always as identity primary key,
    name text not null check (name <> ''),
    stock integer not null check (stock >= 0)
);

create table if not exists orders (
    id bigint generated always as identity primary key,
    item bigint not null references items,
    count integer not null check (count > 0)
);

commit;
