create table items (
    id bigint generated always as identity primary key,
    name text not null check (name <> ''),
    stock integer not null check (stock >= 0)
);

create table orders (
    id bigint generated always as identity primary key,
    item bigint not null references items,
    count integer not null check (count > 0)
);
