-- A version is a model file and what there is to tell about it without reading it; versions are never changed.
create table inference_versions (
    name       text not null,
    version    integer not null,
    digest     text not null,
    kind       text not null,
    schema     text not null,
    metrics    text not null,
    created_at text not null,
    primary key (name, version)
) without rowid;

-- Which version of each name serves, and which name POST /predict asks.
create table inference_models (
    name       text primary key,
    version    integer not null,
    is_default integer not null,
    foreign key (name, version) references inference_versions (name, version)
) without rowid;
create unique index inference_models_default on inference_models (is_default) where is_default = 1;
