-- A version is a model file and what there is to tell about it without reading it; versions are never changed.
create table inference_versions (
    name       text collate "C" not null,
    version    bigint not null,
    digest     text collate "C" not null,
    kind       text collate "C" not null,
    schema     text collate "C" not null,
    metrics    text collate "C" not null,
    created_at timestamptz not null,
    primary key (name, version)
);

-- Which version of each name serves, and which name POST /predict asks.
create table inference_models (
    name       text collate "C" primary key,
    version    bigint not null,
    is_default boolean not null,
    foreign key (name, version) references inference_versions (name, version)
);
create unique index inference_models_default on inference_models (is_default) where is_default;
