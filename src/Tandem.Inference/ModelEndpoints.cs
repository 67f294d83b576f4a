using System.ComponentModel.DataAnnotations;
using System.Text.Json;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.AspNetCore.Routing;
using Tandem.Core.Http;
using Tandem.Inference.Models;

namespace Tandem.Inference;

static class ModelEndpoints
{
    public static void MapModels(this IEndpointRouteBuilder routes, InferenceOptions options)
    {
        var predict = routes.MapPost("/predict", Predict).WithTags("Models").WithSummary("Ask the default model: one record of raw features by name")
            .Described(ModelDocs.TakesRecord).Produces<PredictionView>().Answers(InferenceProblems.NoModel, InferenceProblems.Unusable, InferenceProblems.Loading);
        if (options.PredictOpen)
            predict.AllowAnonymous();

        var models = routes.MapGroup("/models").WithTags("Models");
        models.MapGet("", List).WithSummary("Every model by name; X-Total-Count and Link tell what else there is");
        models.MapGet("{name}", Get).WithSummary("What a model takes and says, how good it is, and its versions").Answers(InferenceProblems.NotFound);
        models.MapPost("{name}/predict", PredictBy).WithSummary("Ask a model by name; with the probability of every class")
            .Described(ModelDocs.TakesRecord).Produces<ProbabilitiesView>().Answers(InferenceProblems.NotFound, InferenceProblems.Unusable, InferenceProblems.Loading);
    }

    static async Task Predict(HttpContext context, ServedModels models, CancellationToken ct)
    {
        var served = await models.DefaultAsync(ct);
        var prediction = await JsonWire.ReadAsync(context, served.Predict);
        if (prediction.Faults is { } faults)
        {
            await Problem.Invalid(faults).ExecuteAsync(context);
            return;
        }

        JsonWire.Answer(context.Response, 200, (served.Model, prediction.Scores), static (json, p) =>
        {
            json.WriteStartObject();
            WritePrediction(json, p.Model, p.Scores);
            json.WriteEndObject();
        });
    }

    static async Task PredictBy(string name, HttpContext context, ServedModels models, CancellationToken ct)
    {
        var served = await models.FindAsync(name, ct);
        var prediction = await JsonWire.ReadAsync(context, served.Predict);
        if (prediction.Faults is { } faults)
        {
            await Problem.Invalid(faults).ExecuteAsync(context);
            return;
        }

        JsonWire.Answer(context.Response, 200, (served, prediction.Scores), static (json, p) =>
        {
            json.WriteStartObject();
            WritePrediction(json, p.served.Model, p.Scores);
            if (p.served.Model.ClassNames is { Length: > 0 } names)
            {
                json.WriteStartObject("probabilities"u8);
                for (var i = 0; i < names.Length; i++)
                    json.WriteNumber(names[i], p.Scores[i]);
                json.WriteEndObject();
            }

            json.WriteString("model"u8, p.served.Row.Name);
            json.WriteNumber("version"u8, p.served.Row.Version);
            json.WriteEndObject();
        });
    }

    static void WritePrediction(Utf8JsonWriter json, Model model, double[] scores)
    {
        json.WriteStartArray("prediction"u8);
        model.WriteLabel(json, scores);
        json.WriteEndArray();
    }

    static async Task<Ok<ModelView[]>> List(HttpContext context, ModelTable table, ServedModels models,
        [Range(0, int.MaxValue)] int skip = 0, [Range(1, Paging.MaxLimit)] int limit = Paging.DefaultLimit, CancellationToken ct = default)
    {
        var rows = await table.ListAsync(skip, limit, ct);
        Paging.Describe(context, skip, limit, await table.CountAsync(ct));
        return TypedResults.Ok(rows.Select(r => ModelView.Of(r, models)).ToArray());
    }

    static async Task<Results<Ok<ModelDetails>, ProblemResult>> Get(string name, ModelTable table, ServedModels models, CancellationToken ct) =>
        await table.FindAsync(name, ct) is { } row
            ? TypedResults.Ok(ModelDetails.Of(row, await table.VersionsAsync(name, ct), models))
            : Problem.Of(InferenceProblems.NotFound);
}

/// <summary>What the default model says.</summary>
/// <param name="Prediction">One element: the class as it stood in the training file, or a number.</param>
public sealed record PredictionView(JsonElement[] Prediction);

/// <summary>What a model says, and how sure it is.</summary>
/// <param name="Prediction">One element: the class as it stood in the training file, or a number.</param>
/// <param name="Probabilities">By class; not there for a number.</param>
/// <param name="Model">Which model.</param>
/// <param name="Version">Which version of it.</param>
public sealed record ProbabilitiesView(JsonElement[] Prediction, Dictionary<string, double>? Probabilities, string Model, long Version);

/// <summary>A model in a list.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Version">The newest version, which is the one that serves.</param>
/// <param name="IsDefault">Whether POST /predict asks it.</param>
/// <param name="Kind">What it is: forest.</param>
/// <param name="Task">Whether it names a class or a number.</param>
/// <param name="Target">What it predicts: the column of the training file.</param>
/// <param name="Metrics">How good it is on rows it had not seen.</param>
/// <param name="CreatedAt">UTC.</param>
/// <param name="Problem">Why the newest version does not serve; null when it does.</param>
/// <param name="ServingVersion">The version that answers: an older one when there is a problem, null when none does.</param>
public sealed record ModelView(string Name, long Version, bool IsDefault, string Kind, ModelTask Task, string Target, Metrics Metrics, DateTime CreatedAt,
    string? Problem, long? ServingVersion)
{
    internal static ModelView Of(VersionRow row, ServedModels models)
    {
        var schema = row.ReadSchema();
        return new(row.Name, row.Version, row.IsDefault, row.Kind, schema.Task, schema.Target.Name, row.ReadMetrics(), row.CreatedAt,
            models.ProblemOf(row.Name), models.VersionOf(row.Name));
    }
}

/// <summary>All about a model.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Version">The newest version, which is the one that serves.</param>
/// <param name="IsDefault">Whether POST /predict asks it.</param>
/// <param name="Kind">What it is: forest.</param>
/// <param name="Task">Whether it names a class or a number.</param>
/// <param name="Target">What it predicts: the column of the training file.</param>
/// <param name="Classes">What it can say, in a classification.</param>
/// <param name="Features">What a record has.</param>
/// <param name="Metrics">How good it is on rows it had not seen.</param>
/// <param name="CreatedAt">UTC.</param>
/// <param name="Problem">Why the newest version does not serve; null when it does.</param>
/// <param name="ServingVersion">The version that answers: an older one when there is a problem, null when none does.</param>
/// <param name="Versions">The newest hundred, newest first.</param>
public sealed record ModelDetails(string Name, long Version, bool IsDefault, string Kind, ModelTask Task, string Target, JsonElement[] Classes, FeatureView[] Features,
    Metrics Metrics, DateTime CreatedAt, string? Problem, long? ServingVersion, VersionView[] Versions)
{
    internal static ModelDetails Of(VersionRow row, List<VersionRow> versions, ServedModels models)
    {
        var schema = row.ReadSchema();
        return new(row.Name, row.Version, row.IsDefault, row.Kind, schema.Task, schema.Target.Name, schema.Target.Classes,
            [.. schema.Features.Select(f => new FeatureView(f.Name, f.Type, f.Nullable, f.Categories))], row.ReadMetrics(), row.CreatedAt,
            models.ProblemOf(row.Name), models.VersionOf(row.Name), [.. versions.Select(VersionView.Of)]);
    }
}

/// <summary>A feature of a model.</summary>
/// <param name="Name">The member of the record.</param>
/// <param name="Type">What it takes.</param>
/// <param name="Nullable">Whether it takes null for a missing value. It may be left out in no case.</param>
/// <param name="Categories">The strings it takes, for a category.</param>
public sealed record FeatureView(string Name, FeatureType Type, bool Nullable, string[]? Categories);

/// <summary>A version of a model.</summary>
/// <param name="Version">Its number, from 1.</param>
/// <param name="Digest">SHA-256 of its file, hexadecimal.</param>
/// <param name="Rows">Rows it has learnt from.</param>
/// <param name="Trees">Trees of the forest.</param>
/// <param name="Seed">Of every random choice.</param>
/// <param name="Metrics">How good it is on rows it had not seen.</param>
/// <param name="CreatedAt">UTC.</param>
public sealed record VersionView(long Version, string Digest, int Rows, int Trees, long Seed, Metrics Metrics, DateTime CreatedAt)
{
    internal static VersionView Of(VersionRow row)
    {
        var training = row.ReadSchema().Training;
        return new(row.Version, row.Digest, training.Rows, training.Trees, training.Seed, row.ReadMetrics(), row.CreatedAt);
    }
}
