using System.Text.Json;
using Tandem.Core;
using Tandem.Core.Data;
using Tandem.Inference.Models;
using Tandem.Inference.Training;

namespace Tandem.Inference;

/// <summary>Which version of a name serves.</summary>
sealed record ServingRow(string Name, long Version, string Digest, bool IsDefault);

/// <summary>A version of a model; the JSON as it is stored.</summary>
sealed record VersionRow(string Name, long Version, bool IsDefault, string Digest, string Kind, string Schema, string Metrics, DateTime CreatedAt)
{
    public ModelSchema ReadSchema() => Read<ModelSchema>(Schema);

    public Metrics ReadMetrics() => Read<Metrics>(Metrics);

    T Read<T>(string json) =>
        JsonSerializer.Deserialize<T>(json, ModelDescription.Json) ?? throw new JsonException($"Version {Version} of model {Name} has an empty description.");
}

/// <summary>What a model takes and says, as it is kept in the table.</summary>
sealed record ModelSchema(ModelTask Task, Target Target, Feature[] Features, TrainingFacts Training)
{
    public static ModelSchema Of(ModelDescription model) => new(model.Task, model.Target, model.Features, model.Training);
}

/// <summary>What became of a model that was to be registered.</summary>
/// <param name="Version">Its version.</param>
/// <param name="IsNew">False: the version that serves is this very model already, and nothing was changed.</param>
/// <param name="IsDefault">Whether POST /predict asks it.</param>
sealed record Registered(long Version, bool IsNew, bool IsDefault);

/// <summary>Names and versions of models; their files are in <see cref="ModelFiles"/>.</summary>
sealed class ModelTable(Db db)
{
    /// <summary>The version that serves under every name, by name.</summary>
    public Task<List<ServingRow>> ServingAsync(CancellationToken ct) => db.ListAsync<ServingRow>($"""
        select m.name, m.version, v.digest, m.is_default
        from inference_models m join inference_versions v on v.name = m.name and v.version = m.version
        order by m.name limit {Limits.Models}
        """, ct);

    public Task<List<VersionRow>> ListAsync(int skip, int limit, CancellationToken ct) =>
        db.ListAsync<VersionRow>($"{Serving} order by m.name limit {limit} offset {skip}", ct);

    public Task<VersionRow?> FindAsync(string name, CancellationToken ct) => db.FindAsync<VersionRow>($"{Serving} where m.name = {name}", ct);

    public Task<long> CountAsync(CancellationToken ct) => db.FindAsync<long>($"select count(*) from inference_models", ct);

    /// <summary>The newest versions of a model, at most 100.</summary>
    public Task<List<VersionRow>> VersionsAsync(string name, CancellationToken ct) => db.ListAsync<VersionRow>($"""
        select v.name, v.version, false as is_default, v.digest, v.kind, v.schema, v.metrics, v.created_at
        from inference_versions v where v.name = {name} order by v.version desc limit 100
        """, ct);

    /// <summary>Makes the model the next version of its name, which serves from now on. The first name of all becomes the default.</summary>
    /// <exception cref="TrainingException">There are as many names as there may be.</exception>
    public Task<Registered> RegisterAsync(string name, string digest, ModelDescription model, DateTime now, CancellationToken ct)
    {
        var schema = JsonSerializer.Serialize(ModelSchema.Of(model), ModelDescription.Json);
        var metrics = JsonSerializer.Serialize(model.Metrics, ModelDescription.Json);
        return db.InTransactionAsync(async tx =>
        {
            var current = await tx.FindAsync<ServingRow>($"""
                select m.name, m.version, v.digest, m.is_default
                from inference_models m join inference_versions v on v.name = m.name and v.version = m.version where m.name = {name}
                """);
            if (current?.Digest == digest)
                return new Registered(current.Version, false, current.IsDefault);
            if (current is null && await tx.FindAsync<long>($"select count(*) from inference_models") >= Limits.Models)
                throw new TrainingException($"There are {Limits.Models} models already; give this one the name of one of them.");

            var version = await tx.FindAsync<long>($"select coalesce(max(version), 0) + 1 from inference_versions where name = {name}");
            var isDefault = current?.IsDefault ?? await tx.FindAsync<long>($"select count(*) from inference_models where is_default") == 0;
            await tx.ExecuteAsync($"""
                insert into inference_versions (name, version, digest, kind, schema, metrics, created_at)
                values ({name}, {version}, {digest}, {model.Kind}, {schema}, {metrics}, {now})
                """);
            await tx.ExecuteAsync($"""
                insert into inference_models (name, version, is_default) values ({name}, {version}, {isDefault})
                on conflict (name) do update set version = excluded.version
                """);
            return new Registered(version, true, isDefault);
        }, ct);
    }

    /// <summary>Has POST /predict ask this model from now on.</summary>
    /// <returns>False, with nothing changed, when there is none of this name.</returns>
    public Task<bool> MakeDefaultAsync(string name, CancellationToken ct) => db.InTransactionAsync(async tx =>
    {
        if (await tx.FindAsync<long>($"select count(*) from inference_models where name = {name}") == 0)
            return false;
        await tx.ExecuteAsync($"update inference_models set is_default = false where is_default and name <> {name}");
        await tx.ExecuteAsync($"update inference_models set is_default = true where name = {name}");
        return true;
    }, ct);

    static Sql Serving => $"""
        select m.name, m.version, m.is_default, v.digest, v.kind, v.schema, v.metrics, v.created_at
        from inference_models m join inference_versions v on v.name = m.name and v.version = m.version
        """;
}
