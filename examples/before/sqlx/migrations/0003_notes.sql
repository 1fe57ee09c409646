-- Owners and superusers pass by row security: the service puts on a role that does not. Roles are the whole server's, so that
-- another database may have made it.
do $$
begin
    create role shop_tenant nologin;
exception
    when duplicate_object or unique_violation then null;
end
$$;

grant shop_tenant to current_user;

create table notes (
    id bigint generated always as identity primary key,
    tenant text not null default current_setting('app.tenant'),
    text text not null
);

alter table notes enable row level security;
alter table notes force row level security;

create policy of_the_tenant on notes using (tenant = current_setting('app.tenant', true));

grant select, insert on notes to shop_tenant;
