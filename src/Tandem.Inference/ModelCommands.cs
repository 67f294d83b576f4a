using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using System.Text.RegularExpressions;
using Microsoft.Extensions.DependencyInjection;
using Tandem.Core;
using Tandem.Inference.Models;
using Tandem.Inference.Training;

namespace Tandem.Inference;

/// <summary><c>tandem model …</c>: models from the operator's terminal, beside a running server or without one.</summary>
static partial class ModelCommands
{
    const int Failed = 1;
    const int WrongUse = 2;

    static readonly JsonSerializerOptions Indented = new(ModelDescription.Json) { WriteIndented = true };

    public static Command Make(ICommandHost host) => new("model", "Train models and say which serves") { Train(host), List(host), Default(host) };

    static Command Train(ICommandHost host)
    {
        var file = new Argument<string>("FILE") { Description = "A CSV file whose first line names the columns" };
        var target = new Option<string>("--target") { Description = "The column to predict; all others are what it is predicted from", Required = true };
        var name = new Option<string?>("--name") { Description = "The model's name; one that exists gets a new version (default: the file's name)" };
        var ignore = new Option<string[]>("--ignore") { Description = "A column to leave out, such as a row number; may be given several times" };
        var task = new Option<ModelTask?>("--task") { Description = "Predict classes or numbers (default: what the target looks like)" };
        var trees = new Option<int>("--trees") { Description = $"Trees of the forest, 1 to {Limits.Trees}", DefaultValueFactory = _ => new TrainingOptions().Trees };
        var seed = new Option<long>("--seed") { Description = "Of every random choice: the same file and seed give the same model", DefaultValueFactory = _ => new TrainingOptions().Seed };
        var json = new Option<bool>("--json") { Description = "Print JSON" };
        trees.Validators.Add(result =>
        {
            if (result.Tokens.Count > 0 && int.TryParse(result.Tokens[0].Value, out var value) && value is < 1 or > Limits.Trees)
                result.AddError($"--trees must be between 1 and {Limits.Trees}.");
        });
        name.Validators.Add(result =>
        {
            if (result.Tokens.Count > 0 && !Name().IsMatch(result.Tokens[0].Value))
                result.AddError("--name must be 1 to 64 of a-z, 0-9, dot, dash and underscore, and begin with a letter or digit.");
        });
        var command = new Command("train", "Train a random forest from a CSV file") { file, target, name, ignore, task, trees, seed, json };
        command.SetAction(async (parsed, ct) =>
        {
            var path = parsed.GetRequiredValue(file);
            var called = parsed.GetValue(name) ?? NameOf(path);
            try
            {
                var data = TrainingData.Of(CsvTable.Read(path, ct), parsed.GetRequiredValue(target), parsed.GetValue(task), parsed.GetValue(ignore));
                var progress = new ProgressLine(Console.Error, Console.IsErrorRedirected);
                var trained = ModelTrainer.Train(data, new TrainingOptions(parsed.GetValue(trees), parsed.GetValue(seed)), progress.Show, ct);
                progress.Clear();
                return await host.RunAsync(async (services, ct) =>
                {
                    var digest = await services.GetRequiredService<ModelFiles>().SaveAsync(trained.File, ct);
                    var registered = await services.GetRequiredService<ModelTable>()
                        .RegisterAsync(called, digest, trained.Model.Description, services.GetRequiredService<TimeProvider>().UtcNow(), ct);
                    var output = parsed.InvocationConfiguration.Output;
                    if (parsed.GetValue(json))
                        output.WriteLine(JsonSerializer.Serialize(TrainingView.Of(called, digest, registered, data, trained), Indented));
                    else
                        TrainingReport.Write(output, called, registered, data, trained);
                    return 0;
                }, ct);
            }
            catch (TrainingException e)
            {
                Console.Error.WriteLine($"tandem: {e.Message}");
                return e.IsWrongUse ? WrongUse : Failed;
            }
            catch (OperationCanceledException) when (ct.IsCancellationRequested)
            {
                Console.Error.WriteLine("tandem: stopped; no model was made.");
                return Failed;
            }
        });
        return command;
    }

    static Command List(ICommandHost host)
    {
        var json = new Option<bool>("--json") { Description = "Print JSON" };
        var command = new Command("list", "List models with the version that serves") { json };
        command.SetAction((parsed, ct) => host.RunAsync(async (services, ct) =>
        {
            var models = (await services.GetRequiredService<ModelTable>().ListAsync(0, Limits.Models, ct)).Select(ListedView.Of).ToArray();
            var output = parsed.InvocationConfiguration.Output;
            if (parsed.GetValue(json))
                output.WriteLine(JsonSerializer.Serialize(models, Indented));
            else if (models.Length == 0)
                output.WriteLine(InferenceProblems.NoModel.Detail);
            else
                TrainingReport.WriteTable(output,
                    ["name", "version", "default", "predicts", "held out", "rows", "created"],
                    [.. models.Select(m => (string[])[
                        m.Name, m.Version.ToString(CultureInfo.InvariantCulture), m.IsDefault ? "yes" : "", m.Target, TrainingReport.Quality(m.Metrics),
                        m.Rows.ToString(CultureInfo.InvariantCulture), m.CreatedAt.ToString("yyyy-MM-dd HH:mm", CultureInfo.InvariantCulture)])]);
            return 0;
        }, ct));
        return command;
    }

    static Command Default(ICommandHost host)
    {
        var name = new Argument<string>("NAME") { Description = "Which model" };
        var command = new Command("default", "Have POST /predict ask this model") { name };
        command.SetAction((parsed, ct) => host.RunAsync(async (services, ct) =>
        {
            var called = parsed.GetRequiredValue(name);
            if (!await services.GetRequiredService<ModelTable>().MakeDefaultAsync(called, ct))
            {
                Console.Error.WriteLine($"tandem: There is no model {called}; \"model list\" shows those there are.");
                return Failed;
            }

            parsed.InvocationConfiguration.Output.WriteLine($"POST /predict asks {called} now.");
            return 0;
        }, ct));
        return command;
    }

    /// <summary>"My data (2).csv" becomes "my-data-2".</summary>
    static string NameOf(string file)
    {
        var name = NoName().Replace(Path.GetFileNameWithoutExtension(file).ToLowerInvariant(), "-").Trim('-', '.', '_');
        return name.Length == 0 ? "model" : name.Length > 64 ? name[..64] : name;
    }

    [GeneratedRegex("^[a-z0-9][a-z0-9._-]{0,63}$", RegexOptions.ECMAScript)]
    private static partial Regex Name();

    [GeneratedRegex("[^a-z0-9._]+")]
    private static partial Regex NoName();

    sealed record ListedView(string Name, long Version, bool IsDefault, string Digest, string Kind, ModelTask Task, string Target, int Rows, Metrics Metrics, DateTime CreatedAt)
    {
        public static ListedView Of(VersionRow row)
        {
            var schema = row.ReadSchema();
            return new(row.Name, row.Version, row.IsDefault, row.Digest, row.Kind, schema.Task, schema.Target.Name, schema.Training.Rows, row.ReadMetrics(), row.CreatedAt);
        }
    }
}
