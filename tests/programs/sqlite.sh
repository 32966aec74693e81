# SQLite's shell: locks, journals, WAL.
command -v sqlite3 >/dev/null || exit 77
sqlite3 db <<'END'
create table t (id integer primary key, name text, value real);
with recursive n(i) as (select 1 union all select i + 1 from n where i < 20000)
insert into t select i, 'name ' || i, i * 1.5 from n;
select count(*), sum(value) from t;
create index by_name on t (name);
select id from t where name = 'name 777';
begin; delete from t where id % 2; rollback; select count(*) from t;
begin; delete from t where id % 2; commit; select count(*) from t;
pragma journal_mode = wal; update t set value = 0 where id < 100; select sum(value) from t where id < 102;
pragma integrity_check; vacuum;
END
(sqlite3 db '.timeout 5000' 'insert into t values (900001, "a", 1)') & (sqlite3 db '.timeout 5000' 'insert into t values (900002, "b", 2)') & wait
sqlite3 db 'select count(*) from t; select name from t where id > 900000 order by id'
sqlite3 db .dump | md5sum; ls db*
