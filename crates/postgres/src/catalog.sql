-- What a database holds that is not the server's own (objects from number 16384 on), as rows of one form:
-- what, schema, name, words, texts, and what it needs (kinds f, r, t; schemas; names).
-- It runs on PostgreSQL 14 to 18, needs no rights, and prints names as seen with the search path that it runs with.
with planned as (
    -- The planner works out calls with constant arguments in the checks, indexes, statistics and partition keys of what
    -- a query reads, whether or not the query needs them.
    select coalesce(i.indrelid, k.conrelid, x.stxrelid, d.objid) as relation, n.nspname, p.proname
    from pg_catalog.pg_depend as d
    left join pg_catalog.pg_operator as o
        on d.refclassid = 'pg_catalog.pg_operator'::pg_catalog.regclass and o.oid = d.refobjid
    join pg_catalog.pg_proc as p on p.oid = coalesce(o.oprcode::oid, d.refobjid)
    join pg_catalog.pg_language as l on l.oid = p.prolang
    join pg_catalog.pg_namespace as n on n.oid = p.pronamespace
    left join pg_catalog.pg_index as i
        on d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass and i.indexrelid = d.objid
    left join pg_catalog.pg_constraint as k
        on d.classid = 'pg_catalog.pg_constraint'::pg_catalog.regclass and k.oid = d.objid
    left join pg_catalog.pg_statistic_ext as x
        on d.classid = 'pg_catalog.pg_statistic_ext'::pg_catalog.regclass and x.oid = d.objid
    where d.refclassid in ('pg_catalog.pg_proc'::pg_catalog.regclass,
                           'pg_catalog.pg_operator'::pg_catalog.regclass)
      and d.classid in ('pg_catalog.pg_class'::pg_catalog.regclass,
                        'pg_catalog.pg_constraint'::pg_catalog.regclass,
                        'pg_catalog.pg_statistic_ext'::pg_catalog.regclass)
      and d.refobjid >= 16384
      and (p.provolatile = 'i' or l.lanname = 'sql')
), cast_to as (
    -- What a user's cast leads to. A domain over such a type, or a row with such a field, is cast field by field.
    select distinct c.casttarget as oid from pg_catalog.pg_cast as c where c.oid >= 16384 and c.castfunc <> 0
)

select 'path', null, s::text, null, null, null, null, null
from unnest(pg_catalog.current_schemas(true)) as s

union all
select 'function', n.nspname::text, p.proname::text,
       array[p.prokind::text, p.provolatile::text, l.lanname::text,
             case when p.pronargs - p.pronargdefaults <= 1 and (p.pronargs >= 1 or p.provariadic <> 0)
                  then 'one' else 'other' end,
             coalesce(pg_catalog.array_to_string(p.proconfig, ' '), '')],
       array[coalesce(pg_catalog.pg_get_function_sqlbody(p.oid), p.prosrc),
             pg_catalog.pg_get_expr(p.proargdefaults, 0)],
       needs.kinds, needs.schemas, needs.names
from pg_catalog.pg_proc as p
join pg_catalog.pg_namespace as n on n.oid = p.pronamespace
join pg_catalog.pg_language as l on l.oid = p.prolang
left join pg_catalog.pg_aggregate as a on a.aggfnoid = p.oid
cross join lateral (
    select pg_catalog.array_agg(x.kind) as kinds, pg_catalog.array_agg(x.schema) as schemas,
           pg_catalog.array_agg(x.name) as names
    from (
        select 't' as kind, tn.nspname::text as schema, t.typname::text as name
        from pg_catalog.pg_type as t
        join pg_catalog.pg_namespace as tn on tn.oid = t.typnamespace
        where t.oid >= 16384
          and t.oid = any (p.proargtypes::oid[] || p.prorettype || coalesce(p.proallargtypes, '{}'))
        union all
        select 'f', cn.nspname::text, c.proname::text
        from pg_catalog.pg_proc as c
        join pg_catalog.pg_namespace as cn on cn.oid = c.pronamespace
        where c.oid = any (array[a.aggtransfn::oid, a.aggfinalfn::oid, a.aggcombinefn::oid, a.aggserialfn::oid,
                                 a.aggdeserialfn::oid, a.aggmtransfn::oid, a.aggminvtransfn::oid,
                                 a.aggmfinalfn::oid])
    ) as x
) as needs
where p.oid >= 16384

union all
select 'relation', n.nspname::text, c.relname::text,
       array[c.relkind::text, c.relpersistence::text],
       case when c.relkind = 'v' then array[pg_catalog.pg_get_viewdef(c.oid)]
            when c.relrowsecurity then array(
                select coalesce(pg_catalog.pg_get_expr(y.polqual, y.polrelid), 'true')
                from pg_catalog.pg_policy as y where y.polrelid = c.oid)
       end,
       needs.kinds, needs.schemas, needs.names
from pg_catalog.pg_class as c
join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
cross join lateral (
    select pg_catalog.array_agg(x.kind) as kinds, pg_catalog.array_agg(x.schema) as schemas,
           pg_catalog.array_agg(x.name) as names
    from (
        select 'r' as kind, kn.nspname::text as schema, k.relname::text as name
        from pg_catalog.pg_inherits as i
        join pg_catalog.pg_class as k on k.oid = i.inhrelid
        join pg_catalog.pg_namespace as kn on kn.oid = k.relnamespace
        where i.inhparent = c.oid
        union
        select 'f', planned.nspname::text, planned.proname::text from planned where planned.relation = c.oid
    ) as x
) as needs
where c.oid >= 16384 and c.relkind in ('r', 'p', 'v', 'm', 'f', 'S') and n.nspname <> 'pg_toast'

-- The planner may take its negator or commutator instead.
union all
select 'operator', n.nspname::text, o.oprname::text, null, null, needs.kinds, needs.schemas, needs.names
from pg_catalog.pg_operator as o
join pg_catalog.pg_namespace as n on n.oid = o.oprnamespace
cross join lateral (
    select pg_catalog.array_agg('f'::text) as kinds, pg_catalog.array_agg(fn.nspname::text) as schemas,
           pg_catalog.array_agg(f.proname::text) as names
    from pg_catalog.pg_operator as any_of
    join pg_catalog.pg_proc as f on f.oid = any_of.oprcode
    join pg_catalog.pg_namespace as fn on fn.oid = f.pronamespace
    where any_of.oid in (o.oid, o.oprnegate, o.oprcom)
) as needs
where o.oid >= 16384 and o.oprcode <> 0

-- A domain and its checks; rows and ranges over such types; domains and rows over what a user's cast leads to.
union all
select 'type', n.nspname::text, t.typname::text, null,
       array(select pg_catalog.pg_get_expr(k.conbin, 0)
             from pg_catalog.pg_constraint as k where k.contypid = t.oid and k.contype = 'c'),
       needs.kinds, needs.schemas, needs.names
from pg_catalog.pg_type as t
join pg_catalog.pg_namespace as n on n.oid = t.typnamespace
left join pg_catalog.pg_range as g on t.oid in (g.rngtypid, g.rngmultitypid)
cross join lateral (
    select pg_catalog.array_agg(kind.word) as kinds, pg_catalog.array_agg(bn.nspname::text) as schemas,
           pg_catalog.array_agg(b.typname::text) as names
    from pg_catalog.pg_type as b
    join pg_catalog.pg_namespace as bn on bn.oid = b.typnamespace
    cross join lateral (
        select 't' as word where b.oid >= 16384
        union all
        select 'c' where t.typtype in ('c', 'd') and exists (select from cast_to where cast_to.oid in (b.oid, b.typelem))
    ) as kind
    where b.oid in (t.typbasetype, g.rngsubtype)
       or b.oid in (select m.atttypid from pg_catalog.pg_attribute as m
                    where t.typrelid <> 0 and m.attrelid = t.typrelid and m.attnum > 0
                      and not m.attisdropped)
) as needs
where t.oid >= 16384 and (t.typtype = 'd' or (t.typtype in ('c', 'r', 'm') and needs.kinds is not null))

-- Besides where they are named, some casts are called by every conversion, by the assignments in bodies of functions, and
-- by the server's own functions that make text and JSON of anything.
union all
select kind.word, tn.nspname::text, t.typname::text, null, null,
       array['f'], array[fn.nspname::text], array[f.proname::text]
from pg_catalog.pg_cast as c
join pg_catalog.pg_type as t on t.oid = c.casttarget
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

union all
select 'unnamed', null, null, null, null, array['f'], array[fn.nspname::text], array[f.proname::text]
from pg_catalog.pg_range as g
join pg_catalog.pg_proc as f on f.oid in (g.rngcanonical::oid, g.rngsubdiff::oid)
join pg_catalog.pg_namespace as fn on fn.oid = f.pronamespace
join pg_catalog.pg_language as l on l.oid = f.prolang
where g.rngtypid >= 16384 and l.lanname not in ('c', 'internal')
