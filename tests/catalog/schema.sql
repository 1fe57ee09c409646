-- A database with every kind of thing that can hide a write, each beside a harmless twin.
create table item (id int primary key, name text);
insert into item values (1, 'pond');
create sequence numbers;
create schema far;

create function reads_though_volatile(n int) returns bigint language sql volatile
    as 'select count(*) from item where id = n';
create function reads_atomic(n int) returns bigint language sql volatile
    begin atomic select count(*) from item where id = n; end;
create function returns_atomic(n int) returns int language sql return n + 1;
create function reads_in_plpgsql(n int) returns bigint language plpgsql stable as $$
declare found_rows bigint;
begin
    if (n > 0) then select count(*) into found_rows from item where id in (n); end if;
    return (found_rows + reads_though_volatile(n));
end $$;
create function writes(n int) returns bigint language sql volatile
    as 'insert into item values (n + 100) on conflict do nothing; select 1::bigint';
create function draws(n int) returns bigint language plpgsql volatile
    as $$ begin return nextval('public.numbers'); end $$;
create function draws_for_a_stable_one(n int) returns bigint language plpgsql stable
    as $$ begin return public.draws(n); end $$;
create function draws_in_text(n int) returns bigint language plpgsql stable
    as $$ declare x bigint; begin execute 'select nextval(''public.numbers'')' into x; return x; end $$;
create function far.draws_too(n int) returns bigint language sql volatile as 'select nextval(''public.numbers'')';
create function lower(n int) returns bigint language sql volatile as 'select nextval(''public.numbers'')';
create function of_item(i item) returns bigint language sql volatile as 'select nextval(''public.numbers'')';
create function box_of_item(i item) returns box language plpgsql volatile
    as $$ begin perform nextval('public.numbers'); return null; end $$;

create view good_view as select id, name, reads_atomic(id) as n from item where name ~ '^p';
create view good_over as
    with w as (select g.id, g.n, row_number() over (partition by g.name order by g.id) from good_view g)
    select w.id, coalesce(w.n, 0)::numeric(10, 2) as n, extract(year from now()) as y,
           case when exists (select from item where item.id = w.id) then 'x' || w.id else null end as c
    from w left join lateral (select max(id) from item) m on true group by grouping sets ((1, 2), (3, 4));
create view ticket as select nextval('numbers') as n;
create view over_ticket as select n + 1 as n from (select * from ticket) as t;
create view far.ticket_too as select draws(1) as n;
create view writing_view as select writes(id) as n from item;
create materialized view kept as select draws(1) as n;

create function add_up(total bigint, n int) returns bigint language sql immutable as 'select total + n';
create function add_up_and_draw(total bigint, n int) returns bigint language plpgsql volatile
    as $$ begin return total + nextval('public.numbers'); end $$;
create aggregate good_sum(int) (sfunc = add_up, stype = bigint, initcond = '0');
create aggregate bad_sum(int) (sfunc = add_up_and_draw, stype = bigint, initcond = '0');

create function plus_draw(a int, b int) returns bigint language plpgsql volatile
    as $$ begin return nextval('public.numbers'); end $$;
create function plus(a int, b int) returns int language sql immutable as 'select a + b';
create operator @+ (function = plus_draw, leftarg = int, rightarg = int);
create operator @* (function = plus, leftarg = int, rightarg = int);
create operator far.@- (function = plus, leftarg = int, rightarg = int);

create domain good_domain as int check (value > 0 and returns_atomic(value) > 0);
create domain bad_domain as int check (draws(value) > 0);
create type pair as (a int, b bad_domain);
create function takes_domain(d bad_domain) returns int language plpgsql immutable as 'begin return 1; end';
create cast (item as box) with function box_of_item(item);

create table guarded (id int, owner text);
insert into guarded values (1, 'a');
alter table guarded enable row level security;
create policy reads on guarded using (owner = current_user or reads_atomic(id) >= 0);
create table trapped (id int);
insert into trapped values (1);
alter table trapped enable row level security;
create policy draws on trapped using (draws(id) > 0);

create unlogged table scratch (id int);
create table parted (id int) partition by list (id);
create table parted_1 partition of parted for values in (1);
create unlogged table parted_2 partition of parted for values in (2);
create table wholly (id int) partition by list (id);
create table wholly_1 partition of wholly for values in (1);

-- Functions: overloaded, with defaults, variadic, with settings, of sets.
create function overloaded(n int) returns bigint language sql volatile as 'select n::bigint';
create function overloaded(n text) returns bigint language sql volatile as 'select nextval(''public.numbers'')';
create function has_default(n int, m bigint default 5 + returns_atomic(1)) returns bigint language sql volatile
    as 'select n + m';
create function draws_by_default(n int, m bigint default nextval('public.numbers')) returns bigint
    language sql volatile as 'select n + m';
create function adds_all(variadic n int[]) returns bigint language sql immutable as 'select count(*) from unnest(n)';
create function draws_for_all(variadic n int[]) returns bigint language plpgsql volatile
    as $$ begin return nextval('public.numbers'); end $$;
create function reads_though_volatile_in_plpgsql() returns bigint language plpgsql volatile
    as $$ begin return (select count(*) from item); end $$;
create function draws_though_immutable(n int) returns bigint language plpgsql immutable
    as $$ begin perform nextval('public.numbers'); return n; end $$;
create function writes_though_stable(n int) returns bigint language plpgsql stable
    as $$ begin insert into item values (n + 200); return n; end $$;
create function draws_atomic(n int) returns bigint language sql volatile
    begin atomic select nextval('public.numbers'); end;
create function draws_returned(n int) returns bigint language sql volatile return nextval('public.numbers');
create function locks(n int) returns int language sql volatile as 'select id from item where id = n for update';
create function locks_out(n int) returns bool language sql volatile as 'select pg_try_advisory_lock(n)';
create function sets(n int) returns text language sql volatile as 'select set_config(''a.b'', n::text, false)';
create function makes(n int) returns int language plpgsql volatile
    as $$ begin create table made (id int); return n; end $$;
create function reads_set(n int) returns setof item language sql stable as 'select * from item where id >= n';
create function draws_set(n int) returns table (n1 bigint) language sql volatile
    as 'select nextval(''public.numbers'') from generate_series(1, n)';
create function has_settings(n int) returns bigint language sql stable set search_path = far, public
    as 'select count(*) from item where id = n';
do $outer$ begin
    create function unlocks_writes(n int) returns int language sql stable set transaction_read_only = off
        as 'select n';
exception when feature_not_supported then
    -- PostgreSQL 19 has no such functions any more; it does the same by hand.
    create function unlocks_writes(n int) returns int language sql stable
        as 'select n from set_config(''transaction_read_only'', ''off'', true)';
end $outer$;
create function of_number(n int) returns bigint language sql volatile as 'select nextval(''public.numbers'')';
create procedure proceeds(n int) language sql as 'select n';

-- Views: with barriers, rules, recursion; over views of the server; of rows that are locked.
create view barred with (security_barrier) as select id, name from item where reads_atomic(id) >= 0;
create view barred_ticket with (security_barrier) as select nextval('numbers') as n;
create view ruled as select id, name from item;
create rule puts as on insert to ruled do instead insert into item values (new.id, new.name);
create view turned as select 1::bigint as n;
create or replace view turned as select nextval('numbers') as n;
create recursive view good_steps (n) as values (1) union all select n + 1 from good_steps where n < 3;
create recursive view steps (n) as values (nextval('numbers')) union all select n + 1 from steps where n < 0;
create view my_locks as
    select relation from pg_locks where transactionid = pg_current_xact_id()::xid or mode = 'ShareLock';
create view activity as select pid, query from pg_stat_activity;
create view tables as select s.relname, s.n_tup_ins from pg_stat_user_tables s;
create view locking as select id from item for update;
create view locked_out as select pg_try_advisory_lock(7) as n;
create view setting as select set_config('a.b', 'c', false) as n;
create view settings as select name, setting from pg_settings;
create view cursors as select name from pg_cursors;
create view sampled as select id from item tablesample system (100);
create view defaulting as select draws_by_default(1) as n;
create materialized view kept_over as select n from ticket;
create view over_kept as select n from kept_over;

-- Tables: what is done when rows are written is not done when they are read.
create table filled (
    id int primary key default nextval('numbers'),
    n bigint generated always as identity,
    doubled int generated always as (id * 2) stored,
    checked int check (draws(checked) > 0),
    good good_domain);
create function on_write() returns trigger language plpgsql as $$ begin perform nextval('numbers'); return new; end $$;
create trigger on_write before insert or update on filled for each row execute function on_write();
create rule notes as on update to filled do also select nextval('numbers');
insert into filled (checked, good) values (1, 2);
create table with_bad_domain (id int, d bad_domain);
insert into with_bad_domain values (1, 1);
create table parent (id int);
create table child () inherits (parent);
create unlogged table unlogged_child () inherits (parent);
create table grandparted (id int) partition by range (id);
create table grandparted_1 partition of grandparted for values from (0) to (10) partition by list (id);
create unlogged table grandparted_1_1 partition of grandparted_1 for values in (1);
create table grandparted_2 partition of grandparted for values from (10) to (20);

-- What is immutable and needs no row is worked out by the planner, in an index or a check too.
create function returns_immutably(n int) returns int language sql immutable as 'select n + 1';
create table indexed (id int);
create index on indexed ((id + returns_immutably(1)));
create table drawing_index (id int);
create index on drawing_index ((id + draws_though_immutable(1)));
create table drawing_predicate (id int);
create index on drawing_predicate (id) where id > draws_though_immutable(1);
create table drawing_statistics (id int, n int);
create statistics drawn on (id + draws_though_immutable(1)), n from drawing_statistics;
create table checked (id int, check (draws(id) > 0));
create table drawing_check (id int);
create table drawing_check_1 (check (id > draws_though_immutable(1))) inherits (drawing_check);
create table drawing_parts (id int) partition by list ((id + draws_though_immutable(1)));
create table drawing_parts_1 partition of drawing_parts for values in (2);

-- Row security that joins, and that is for writes only.
create table tenant (id int, owner text);
insert into tenant values (1, 'reader');
create table owned (id int, tenant int);
insert into owned values (1, 1);
alter table owned enable row level security;
create policy of_tenant on owned for select
    using (exists (select from tenant where tenant.id = owned.tenant and tenant.owner = current_user));
create policy for_writes on owned for insert with check (draws(id) > 0);
create table trapped_twice (id int);
insert into trapped_twice values (1);
alter table trapped_twice enable row level security;
create policy open on trapped_twice using (true);
create policy draws on trapped_twice as restrictive for select using (id in (select n from ticket));
create view over_trapped with (security_barrier) as select id from trapped;

-- Operators: of one operand, of other operands, and what the planner takes instead.
create function minus_draw(a int) returns bigint language plpgsql volatile
    as $$ begin return nextval('public.numbers'); end $$;
create operator !@ (function = minus_draw, rightarg = int);
create function starts(a text, b text) returns bool language sql immutable as 'select a ^@ b';
create operator @^ (function = starts, leftarg = text, rightarg = text);
create function is_less(a int, b int) returns bool language plpgsql stable as $$ begin return a < b; end $$;
create function is_not_less(a int, b int) returns bool language plpgsql stable
    as $$ begin return nextval('public.numbers') > 0; end $$;
create operator @>=@ (function = is_not_less, leftarg = int, rightarg = int);
create operator @<@ (function = is_less, leftarg = int, rightarg = int, negator = @>=@);

-- Domains over domains, in rows and lists; casts that read.
create domain over_bad as bad_domain;
create type bad_range as range (subtype = bad_domain, multirange_type_name = bad_ranges);
create domain box_domain as box;
create type box_row as (b box);
create type box_list as (b box[]);
create domain good_text as text check (value ~ '^[a-z]*$' and length(value) < 9);
create type deep as (p pair);
create function circle_of_tenant(t tenant) returns circle language plpgsql immutable
    as $$ begin return '((0,0),1)'; end $$;
create cast (tenant as circle) with function circle_of_tenant(tenant);

-- Names of the server's own that others have too, and names in quotes.
create schema shadow;
create view shadow.pg_class as select nextval('public.numbers') as n;
create function shadow.initcap(t text) returns text language plpgsql volatile
    as $$ begin perform nextval('public.numbers'); return t; end $$;
create view "Ticket" as select nextval('numbers') as n;
create view "select" as select nextval('numbers') as n;
create view "tick""et" as select nextval('numbers') as n;
create table "Plain" (id int);

select lo_from_bytea(424242, 'pond');

create role reader;
grant usage on schema public, far, shadow to reader;
grant select on all tables in schema public, far, shadow to reader;
grant usage, select on all sequences in schema public to reader;
grant select on large object 424242 to reader;

-- What extensions have beside the server's own, and what only a call with a name for an argument means.
create function public.gen_random_uuid() returns uuid language plpgsql volatile
    as $$ begin perform nextval('public.numbers'); return null; end $$;
create function public.md5(text default 'x') returns text language plpgsql volatile
    as $$ begin perform nextval('public.numbers'); return 'x'; end $$;
-- Words of PL/pgSQL that a function can have for a name.
create function assert(int) returns int language plpgsql volatile
    as $$ begin perform nextval('public.numbers'); return 1; end $$;
create function asserts() returns int language plpgsql stable
    as $$ declare n int; begin n := assert(1); return n; end $$;
-- What only the primary, or one server, has the answer to, in PL/pgSQL.
create function sequences_seen() returns bigint language plpgsql stable
    as $$ begin return (select count(*) from pg_sequences); end $$;
create function locks_seen() returns bigint language plpgsql stable
    as $$ begin return (select count(*) from "pg_locks"); end $$;
-- Cursors of the session, in PL/pgSQL.
create function fetches(c refcursor) returns int language plpgsql stable
    as $$ declare n int; begin fetch c into n; return n; end $$;
create function opens() returns refcursor language plpgsql stable
    as $$ declare c refcursor := 'mine'; begin open c for select 1; return c; end $$;
do $outer$ begin
    create function seeded() returns int language sql stable set seed = 0.25 as 'select 1';
exception when feature_not_supported then
    create function seeded() returns int language sql stable as 'select 1 from set_config(''seed'', ''0.25'', true)';
end $outer$;
-- A cast to an array, which statements name by its elements.
create function numbers_of(i item) returns float4[] language plpgsql volatile
    as $$ begin return array[nextval('public.numbers')]; end $$;
create cast (item as float4[]) with function numbers_of(item);
create table defaulting_table (id int, n int default draws_though_immutable(1));
-- The state of an aggregate is of a type too.
create function keeps(anyelement, int) returns anyelement language plpgsql immutable as 'begin return $1; end';
create aggregate domain_sum(int) (sfunc = keeps, stype = bad_domain, initcond = '3');
-- An array whose name was taken.
create type _worse_domain as (a int);
create domain worse_domain as int check (draws(value) > 0);
create function public.ascii(letter text) returns int language plpgsql volatile
    as $$ begin perform nextval('public.numbers'); return 1; end $$;
