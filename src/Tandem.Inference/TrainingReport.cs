using System.Globalization;
using System.Text.Json;
using Tandem.Inference.Models;
using Tandem.Inference.Training;

namespace Tandem.Inference;

/// <summary>What a training prints for a program.</summary>
sealed record TrainingView(string Name, long Version, bool IsNew, bool IsDefault, string Digest, ModelTask Task, string Target, int Rows, int Trees, long Seed,
    Metrics Metrics, string[] Notes)
{
    public static TrainingView Of(string name, string digest, Registered registered, TrainingData data, TrainedModel trained)
    {
        var (model, facts) = (trained.Model.Description, trained.Model.Description.Training);
        return new(name, registered.Version, registered.IsNew, registered.IsDefault, digest, model.Task, model.Target.Name, facts.Rows, facts.Trees, facts.Seed, model.Metrics, data.Notes);
    }
}

/// <summary>What a training prints for a person.</summary>
static class TrainingReport
{
    // A wider confusion matrix breaks its lines on a terminal and is read from --json instead.
    const int MaxClassesShown = 12;

    public static void Write(TextWriter output, string name, Registered registered, TrainingData data, TrainedModel trained)
    {
        var (model, metrics) = (trained.Model.Description, trained.Model.Description.Metrics);
        output.WriteLine($"{data.File}: {Counted(data.Rows, "row")}, {Counted(data.Features.Length, "feature")}; {data.Target.Name} is {(data.Task == ModelTask.Regression
            ? "a number" : $"one of {data.Target.Classes.Length} classes")}");
        foreach (var note in data.Notes)
            output.WriteLine("  " + note);
        output.WriteLine();
        if (data.Task == ModelTask.Classification)
            WriteClassification(output, metrics);
        else
            WriteRegression(output, metrics, data.Target.Name);
        output.WriteLine();
        output.WriteLine($"Measured by a forest that had not seen those rows; the model itself has learnt from all {data.Rows}.");
        output.WriteLine(registered.IsNew
            ? $"Model {name}, version {registered.Version}, serves now{(registered.IsDefault ? " and is the default" : "")}: {model.Training.Trees} trees, {Size(trained.File.Length)}."
            : $"Model {name}, version {registered.Version}, is this very model already; nothing was changed.");
        output.WriteLine();
        output.WriteLine("Ask it:");
        output.WriteLine($"  POST {(registered.IsDefault ? "/predict" : $"/models/{name}/predict")}");
        output.WriteLine("  " + JsonSerializer.Serialize(model.Golden[0].Record));
    }

    /// <summary>The one figure of a list: accuracy or R².</summary>
    public static string Quality(Metrics metrics) => metrics.Accuracy is { } accuracy ? $"accuracy {Share(accuracy)}" : $"R² {Share(metrics.R2)}";

    /// <summary>Columns as wide as they need; the first is text, so are the others unless they hold numbers only.</summary>
    public static void WriteTable(TextWriter output, string[] header, string[][] rows)
    {
        var lines = rows.Prepend(header).ToArray();
        var widths = Enumerable.Range(0, header.Length).Select(c => lines.Max(l => Printable(l[c]).Length)).ToArray();
        var numbers = Enumerable.Range(0, header.Length).Select(c => c > 0 && rows.All(r => r[c].All(x => char.IsAsciiDigit(x) || x is '.' or '-'))).ToArray();
        foreach (var line in lines)
            output.WriteLine(string.Join("  ", line.Select((cell, c) => numbers[c] ? Printable(cell).PadLeft(widths[c]) : Printable(cell).PadRight(widths[c]))).TrimEnd());
    }

    static void WriteClassification(TextWriter output, Metrics metrics)
    {
        var (classes, confusion) = (metrics.Classes ?? [], metrics.Confusion ?? []);
        var met = confusion.Index().Sum(line => line.Item[line.Index]);
        output.WriteLine($"Held-out accuracy {Share(metrics.Accuracy)}: {met} of {Counted(metrics.HeldOutRows, "row")}. Always naming the most frequent class: {Share(metrics.BaselineAccuracy)}.");
        output.WriteLine();
        if (classes.Length > MaxClassesShown)
        {
            WriteTable(output, ["class", "rows", "precision", "recall"], [.. classes.Select(c => (string[])[c.Label, Text(c.Rows), Share(c.Precision), Share(c.Recall)])]);
            return;
        }

        WriteTable(output,
            ["is \\ said to be", .. classes.Select(c => c.Label), "precision", "recall"],
            [.. classes.Select((c, i) => (string[])[c.Label, .. confusion[i].Select(Text), Share(c.Precision), Share(c.Recall)])]);
    }

    static void WriteRegression(TextWriter output, Metrics metrics, string target)
    {
        output.WriteLine($"Held-out R² {Share(metrics.R2)} on {Counted(metrics.HeldOutRows, "row")}.");
        output.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"Mean absolute error {metrics.MeanAbsoluteError:G4} in units of {target}. Always naming the median: {metrics.BaselineMeanAbsoluteError:G4}."));
    }

    static string Counted(int count, string what) => $"{Text(count)} {what}{(count == 1 ? "" : "s")}";

    static string Text(int number) => number.ToString(CultureInfo.InvariantCulture);

    static string Share(double? share) => share?.ToString("0.000", CultureInfo.InvariantCulture) ?? "-";

    static string Size(int bytes) => string.Create(CultureInfo.InvariantCulture, $"{(bytes < 1 << 20 ? $"{bytes / 1024.0:0} KiB" : $"{bytes / 1048576.0:0.0} MiB")}");

    /// <summary>A label out of a file must not move the cursor of the terminal.</summary>
    static string Printable(string text) => string.Concat(text.Select(c => char.IsControl(c) ? '?' : c));
}

/// <summary>How far a training is: a line that is written over on a terminal, a few lines otherwise.</summary>
sealed class ProgressLine(TextWriter output, bool isRedirected)
{
    static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(100);

    readonly Lock _gate = new();
    long _written;
    int _quarter = -1;
    int _width;

    /// <summary>Safe to call from several threads.</summary>
    public void Show(TrainingProgress progress)
    {
        lock (_gate)
        {
            var text = $"{(progress.Evaluating ? "measuring" : "learning from all rows")}: {progress.Done} of {progress.Trees} trees";
            if (isRedirected)
            {
                var quarter = (progress.Evaluating ? 0 : 4) + 4 * progress.Done / progress.Trees;
                if (quarter > _quarter && 4 * progress.Done % progress.Trees < 4)
                    output.WriteLine(text);
                _quarter = Math.Max(quarter, _quarter);
            }
            else if (_written == 0 || TimeProvider.System.GetElapsedTime(_written) > Pause)
            {
                output.Write("\r" + text.PadRight(_width));
                (_written, _width) = (TimeProvider.System.GetTimestamp(), text.Length);
            }
        }
    }

    /// <summary>Takes the line away again.</summary>
    public void Clear()
    {
        if (_width > 0)
            output.Write("\r" + new string(' ', _width) + "\r");
    }
}
