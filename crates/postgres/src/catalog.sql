-- What a database holds that is not the server's own (objects from number 16384 on), as rows of one form:
-- what, schema, name, words, texts, and what it needs (kinds f, r, t, c; schemas; names).
-- It runs on PostgreSQL 14 to 18, needs no rights, and prints names as seen with the search path that it runs with.
-- Everything is joined by number, once for all objects of a kind: asked for one by one, thousands took minutes.
with recursive operator_group (start, oid) as (
    -- The planner may take a negator or commutator instead, and the commutator of that.
    select o.oid, o.oid from pg_catalog.pg_operator as o where o.oid >= 16384
    union
    select g.start, u.oid
    from operator_group as g
    join pg_catalog.pg_operator as o on o.oid = g.oid
    cross join lateral unnest(array[o.oprnegate, o.oprcom]) as u (oid)
    where u.oid <> 0
), function_needs as (
    select x.function, pg_catalog.array_agg(x.kind) as kinds, pg_catalog.array_agg(n.nspname::text) as schemas,
           pg_catalog.array_agg(x.name) as names
    from (
        select p.oid as function, 't' as kind, t.typnamespace as namespace, t.typname::text as name
        from pg_catalog.pg_proc as p
        cross join lateral unnest(p.proargtypes::oid[] || p.prorettype || coalesce(p.proallargtypes, '{}')) as u (oid)
        join pg_catalog.pg_type as t on t.oid = u.oid
        where p.oid >= 16384 and u.oid >= 16384
        union
        select a.aggfnoid::oid, 'f', c.pronamespace, c.proname::text
        from pg_catalog.pg_aggregate as a
        cross join lateral unnest(array[a.aggtransfn, a.aggfinalfn, a.aggcombinefn, a.aggserialfn, a.aggdeserialfn,
                                        a.aggmtransfn, a.aggminvtransfn, a.aggmfinalfn]) as u (oid)
        join pg_catalog.pg_proc as c on c.oid = u.oid::oid
        where a.aggfnoid::oid >= 16384
        union
        select a.aggfnoid::oid, 't', t.typnamespace, t.typname::text
        from pg_catalog.pg_aggregate as a
        cross join lateral unnest(array[a.aggtranstype, a.aggmtranstype]) as u (oid)
        join pg_catalog.pg_type as t on t.oid = u.oid
        where a.aggfnoid::oid >= 16384 and u.oid >= 16384
    ) as x
    join pg_catalog.pg_namespace as n on n.oid = x.namespace
    group by x.function
), relation_needs as (
    select x.relation, pg_catalog.array_agg(x.kind) as kinds, pg_catalog.array_agg(n.nspname::text) as schemas,
           pg_catalog.array_agg(x.name) as names
    from (
        select i.inhparent as relation, 'r' as kind, k.relnamespace as namespace, k.relname::text as name
        from pg_catalog.pg_inherits as i
        join pg_catalog.pg_class as k on k.oid = i.inhrelid
        -- The planner works out calls with constant arguments in the checks, indexes, statistics and partition keys of
        -- what a query reads, whether or not the query needs them.
        union
        select coalesce(i.indrelid, k.conrelid, s.stxrelid, d.objid), 'f', p.pronamespace, p.proname::text
        from pg_catalog.pg_depend as d
        left join pg_catalog.pg_operator as o
            on d.refclassid = 'pg_catalog.pg_operator'::pg_catalog.regclass and o.oid = d.refobjid
        join pg_catalog.pg_proc as p on p.oid = coalesce(o.oprcode::oid, d.refobjid)
        join pg_catalog.pg_language as l on l.oid = p.prolang
        left join pg_catalog.pg_index as i
            on d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass and i.indexrelid = d.objid
        left join pg_catalog.pg_constraint as k
            on d.classid = 'pg_catalog.pg_constraint'::pg_catalog.regclass and k.oid = d.objid
        left join pg_catalog.pg_statistic_ext as s
            on d.classid = 'pg_catalog.pg_statistic_ext'::pg_catalog.regclass and s.oid = d.objid
        where d.refclassid in ('pg_catalog.pg_proc'::pg_catalog.regclass,
                               'pg_catalog.pg_operator'::pg_catalog.regclass)
          and d.classid in ('pg_catalog.pg_class'::pg_catalog.regclass,
                            'pg_catalog.pg_constraint'::pg_catalog.regclass,
                            'pg_catalog.pg_statistic_ext'::pg_catalog.regclass)
          and d.refobjid >= 16384
          and (p.provolatile = 'i' or l.lanname = 'sql')
    ) as x
    join pg_catalog.pg_namespace as n on n.oid = x.namespace
    group by x.relation
), cast_to as (
    -- What a user's cast leads to. A domain over such a type, or a row with such a field, is cast field by field.
    select distinct c.casttarget as oid from pg_catalog.pg_cast as c where c.oid >= 16384 and c.castfunc <> 0
), type_parts as (
    select t.oid as type, t.typbasetype as part, true as is_cast
    from pg_catalog.pg_type as t where t.oid >= 16384 and t.typtype = 'd'
    union all
    select c.reltype, a.atttypid, true
    from pg_catalog.pg_class as c
    join pg_catalog.pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    where c.oid >= 16384 and c.reltype <> 0
    union all
    select r.type, g.rngsubtype, false
    from pg_catalog.pg_range as g
    cross join lateral unnest(array[g.rngtypid, g.rngmultitypid]) as r (type)
    where g.rngtypid >= 16384
), type_needs as (
    select x.type, pg_catalog.array_agg(kind.word) as kinds, pg_catalog.array_agg(n.nspname::text) as schemas,
           pg_catalog.array_agg(b.typname::text) as names
    from (select distinct type, part, is_cast from type_parts) as x
    join pg_catalog.pg_type as b on b.oid = x.part
    join pg_catalog.pg_namespace as n on n.oid = b.typnamespace
    cross join lateral (
        select 't' as word where b.oid >= 16384
        union all
        select 'c' where x.is_cast and (b.oid in (select oid from cast_to) or b.typelem in (select oid from cast_to))
    ) as kind
    group by x.type
), users_code as (
    -- Functions that may do anything: of those in C it is known what they declare.
    select p.oid
    from pg_catalog.pg_proc as p
    join pg_catalog.pg_language as l on l.oid = p.prolang
    where p.oid >= 16384 and l.lanname not in ('c', 'internal')
), not_written_alone as (
    -- What triggers and rules do is not looked at. Foreign keys pass changes on by triggers that are the server's own.
    select t.tgrelid as relation from pg_catalog.pg_trigger as t where not t.tgisinternal
    union
    select r.ev_class from pg_catalog.pg_rewrite as r where r.ev_type <> '1'
    union
    select k.confrelid
    from pg_catalog.pg_constraint as k
    where k.contype = 'f' and (k.confupdtype in ('c', 'n', 'd') or k.confdeltype in ('c', 'n', 'd'))
    union
    -- Defaults and what is generated, checks, indexes.
    select coalesce(a.adrelid, k.conrelid, i.indrelid)
    from pg_catalog.pg_depend as d
    join users_code as u on u.oid = d.refobjid
    left join pg_catalog.pg_attrdef as a
        on d.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass and a.oid = d.objid
    left join pg_catalog.pg_constraint as k
        on d.classid = 'pg_catalog.pg_constraint'::pg_catalog.regclass and k.oid = d.objid
    left join pg_catalog.pg_index as i
        on d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass and i.indexrelid = d.objid
    where d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass
), unnamed_code as (
    -- What runs though no statement names it.
    select u.oid
    from users_code as u
    where u.oid in (select o.oprcode from pg_catalog.pg_operator as o where o.oid >= 16384)
       or u.oid in (select c.castfunc from pg_catalog.pg_cast as c where c.oid >= 16384)
       or u.oid in (select a.amproc from pg_catalog.pg_amproc as a where a.oid >= 16384)
       or u.oid in (select r.rngcanonical from pg_catalog.pg_range as r where r.rngtypid >= 16384)
       or u.oid in (select r.rngsubdiff from pg_catalog.pg_range as r where r.rngtypid >= 16384)
    union all
    -- The checks and defaults of types.
    select u.oid
    from pg_catalog.pg_depend as d
    join users_code as u on u.oid = d.refobjid
    left join pg_catalog.pg_constraint as k
        on d.classid = 'pg_catalog.pg_constraint'::pg_catalog.regclass and k.oid = d.objid
    where d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass
      and (d.classid = 'pg_catalog.pg_type'::pg_catalog.regclass or k.contypid <> 0)
), policies as (
    select y.polrelid as relation, pg_catalog.array_agg(coalesce(pg_catalog.pg_get_expr(y.polqual, y.polrelid), 'true'))
        as texts
    from pg_catalog.pg_policy as y
    group by y.polrelid
), checks as (
    select k.contypid as type, pg_catalog.array_agg(pg_catalog.pg_get_expr(k.conbin, 0)) as texts
    from pg_catalog.pg_constraint as k
    where k.contypid <> 0 and k.contype = 'c'
    group by k.contypid
)

select 'encoding', null::text, pg_catalog.pg_encoding_to_char(d.encoding)::text, null::text[], null::text[], null::text[],
       null::text[], null::text[]
from pg_catalog.pg_database as d
where d.datname = pg_catalog.current_database() and pg_catalog.pg_encoding_max_length(d.encoding) = 1

union all
select 'code', null, null, null, null, null, null, null
where not exists (select from unnamed_code)

union all
select 'path', null, s::text, null, null, null, null, null
from unnest(pg_catalog.current_schemas(true)) as s

union all
select 'function', n.nspname::text, p.proname::text,
       array[p.prokind::text, p.provolatile::text, l.lanname::text,
             case when p.pronargs - p.pronargdefaults <= 1 and (p.pronargs >= 1 or p.provariadic <> 0)
                  then 'one' else 'other' end,
             coalesce(pg_catalog.array_to_string(p.proconfig, ' '), ''),
             case when builtin.oid is null then '' else 'covered' end],
       array[coalesce(pg_catalog.pg_get_function_sqlbody(p.oid), p.prosrc),
             pg_catalog.pg_get_expr(p.proargdefaults, 0)],
       needs.kinds, needs.schemas, needs.names
from pg_catalog.pg_proc as p
join pg_catalog.pg_namespace as n on n.oid = p.pronamespace
join pg_catalog.pg_language as l on l.oid = p.prolang
left join function_needs as needs on needs.function = p.oid
-- A call in which arguments are named could still mean the other one.
left join pg_catalog.pg_proc as builtin
    on builtin.oid < 16384 and builtin.pronamespace = 'pg_catalog'::pg_catalog.regnamespace
   and builtin.proname = p.proname and builtin.proargtypes = p.proargtypes
   and p.prokind = 'f' and builtin.prokind = 'f' and p.provariadic = 0 and builtin.provariadic = 0
   and p.proargnames is null and p.pronargdefaults = 0
where p.oid >= 16384

union all
select 'relation', n.nspname::text, c.relname::text,
       array[c.relkind::text, c.relpersistence::text,
             case when c.oid in (select relation from not_written_alone where relation is not null) then '' else 'alone' end],
       case when c.relkind = 'v' then array[pg_catalog.pg_get_viewdef(c.oid)]
            when c.relrowsecurity then policies.texts
       end,
       needs.kinds, needs.schemas, needs.names
from pg_catalog.pg_class as c
join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
left join relation_needs as needs on needs.relation = c.oid
left join policies on policies.relation = c.oid
-- A temporary relation is nobody else's, and comes and goes too often.
where c.oid >= 16384 and c.relkind in ('r', 'p', 'v', 'm', 'f', 'S') and c.relpersistence <> 't'
  and n.nspname <> 'pg_toast'

union all
select 'operator', n.nspname::text, o.oprname::text, null, null,
       pg_catalog.array_agg('f'::text), pg_catalog.array_agg(fn.nspname::text), pg_catalog.array_agg(f.proname::text)
from pg_catalog.pg_operator as o
join pg_catalog.pg_namespace as n on n.oid = o.oprnamespace
join operator_group as g on g.start = o.oid
join pg_catalog.pg_operator as any_of on any_of.oid = g.oid
join pg_catalog.pg_proc as f on f.oid = any_of.oprcode
join pg_catalog.pg_namespace as fn on fn.oid = f.pronamespace
where o.oid >= 16384 and o.oprcode <> 0
group by o.oid, n.nspname, o.oprname

-- A domain and its checks; rows and ranges over such types; domains and rows over what a user's cast leads to.
union all
select 'type', n.nspname::text, t.typname::text, null, checks.texts, needs.kinds, needs.schemas, needs.names
from pg_catalog.pg_type as t
join pg_catalog.pg_namespace as n on n.oid = t.typnamespace
left join type_needs as needs on needs.type = t.oid
left join checks on checks.type = t.oid
where t.oid >= 16384 and (t.typtype = 'd' or (t.typtype in ('c', 'r', 'm') and needs.kinds is not null))

-- An array whose name is not that of its elements with a line in front.
union all
select 'type', n.nspname::text, a.typname::text, null, null, array['t'], array[en.nspname::text], array[e.typname::text]
from pg_catalog.pg_type as e
join pg_catalog.pg_namespace as en on en.oid = e.typnamespace
join pg_catalog.pg_type as a on a.oid = e.typarray
join pg_catalog.pg_namespace as n on n.oid = a.typnamespace
where e.oid >= 16384 and a.typname <> ('_' || e.typname)

-- Besides where they are named, some casts are called by every conversion, by the assignments in bodies of functions, and
-- by the server's own functions that make text and JSON of anything.
union all
select kind.word, tn.nspname::text, t.typname::text, null, null,
       array['f'], array[fn.nspname::text], array[f.proname::text]
from pg_catalog.pg_cast as c
join pg_catalog.pg_type as target on target.oid = c.casttarget
-- Statements name an array by its elements.
join pg_catalog.pg_type as t on t.oid in (target.oid, target.typelem)
join pg_catalog.pg_namespace as tn on tn.oid = t.typnamespace
join pg_catalog.pg_proc as f on f.oid = c.castfunc
join pg_catalog.pg_namespace as fn on fn.oid = f.pronamespace
cross join lateral (
    select 'cast' as word
    union all
    select 'unnamed'
    where c.castcontext in ('i', 'a')
       or c.casttarget in ('pg_catalog.text'::pg_catalog.regtype, 'pg_catalog.json'::pg_catalog.regtype)
) as kind
where c.oid >= 16384

-- What operator classes and ranges call. Those in C are what an access method is made of, and do not write.
union all
select 'unnamed', null, null, null, null, array['f'], array[fn.nspname::text], array[f.proname::text]
from pg_catalog.pg_amproc as a
join pg_catalog.pg_proc as f on f.oid = a.amproc
join pg_catalog.pg_namespace as fn on fn.oid = f.pronamespace
join pg_catalog.pg_language as l on l.oid = f.prolang
where a.oid >= 16384 and l.lanname not in ('c', 'internal')

-- The operators of operator classes, which sorting, grouping and comparing rows or arrays use whatever their symbols are.
union all
select distinct 'unnamed', null, null, null::text[], null::text[], array['f'], array[fn.nspname::text], array[f.proname::text]
from pg_catalog.pg_amop as a
join operator_group as g on g.start = a.amopopr
join pg_catalog.pg_operator as any_of on any_of.oid = g.oid
join pg_catalog.pg_proc as f on f.oid = any_of.oprcode
join pg_catalog.pg_namespace as fn on fn.oid = f.pronamespace
join pg_catalog.pg_language as l on l.oid = f.prolang
where a.oid >= 16384 and l.lanname not in ('c', 'internal')

union all
select 'unnamed', null, null, null, null, array['f'], array[fn.nspname::text], array[f.proname::text]
from pg_catalog.pg_range as g
cross join lateral unnest(array[g.rngcanonical::oid, g.rngsubdiff::oid]) as u (oid)
join pg_catalog.pg_proc as f on f.oid = u.oid
join pg_catalog.pg_namespace as fn on fn.oid = f.pronamespace
join pg_catalog.pg_language as l on l.oid = f.prolang
where g.rngtypid >= 16384 and l.lanname not in ('c', 'internal')
