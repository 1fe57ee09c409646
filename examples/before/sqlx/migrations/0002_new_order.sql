create function tell_of_order() returns trigger language plpgsql as $$
begin
    perform pg_notify('new_order', new.id::text);
    return null;
end
$$;

create trigger tell_of_order after insert on orders for each row execute function tell_of_order();
