using System.Collections.Frozen;
using System.Diagnostics;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Tandem.Core.Http;
using Tandem.Inference.Models;

namespace Tandem.Inference;

/// <summary>A model in memory under the name it serves.</summary>
sealed class ServedModel(ServingRow row, Model model)
{
    public ServingRow Row => row;

    public Model Model => model;

    /// <summary>Scores a record; made once, so that a request captures nothing.</summary>
    public JsonWire.BodyParser<Prediction> Predict { get; } = utf8 =>
    {
        var scores = new double[model.Width];
        return new Prediction(scores, model.Score(utf8, scores));
    };
}

/// <summary>What a model says of a record.</summary>
/// <param name="Scores">The probability of each class, or the number.</param>
/// <param name="Faults">Null, or why there are no scores: what is wrong with the record, by feature name.</param>
readonly record struct Prediction(double[] Scores, IReadOnlyDictionary<string, string[]>? Faults);

/// <summary>The models of this process. A prediction reads nothing but this; what changes is swapped in whole.</summary>
sealed class ServedModels(TimeProvider clock)
{
    // A request that comes while the models are still read waits for them this long.
    static readonly TimeSpan Patience = TimeSpan.FromSeconds(5);

    readonly TaskCompletionSource _filled = new(TaskCreationOptions.RunContinuationsAsynchronously);
    volatile State _state = new(FrozenDictionary<string, ServedModel>.Empty, FrozenDictionary<string, string>.Empty, null);

    /// <summary>The model that POST /predict asks.</summary>
    /// <exception cref="ProblemException">inference/no-model, inference/unusable, inference/loading.</exception>
    public async ValueTask<ServedModel> DefaultAsync(CancellationToken ct)
    {
        await FilledAsync(ct);
        if (_state.Default is null)
            await LookAsync(ct);
        var state = _state;
        return Find(state, state.Default ?? throw new ProblemException(InferenceProblems.NoModel));
    }

    /// <summary>The model of this name.</summary>
    /// <exception cref="ProblemException">inference/not-found, inference/unusable, inference/loading.</exception>
    public async ValueTask<ServedModel> FindAsync(string name, CancellationToken ct)
    {
        await FilledAsync(ct);
        if (!_state.Models.ContainsKey(name))
            await LookAsync(ct);
        return Find(_state, name);
    }

    /// <summary>Looks at the table now. Whoever has just trained a first model and asks it is not told that there is none.</summary>
    public Func<CancellationToken, Task> LookAsync { get; set; } = _ => Task.CompletedTask;

    /// <summary>The version of this name that answers here; null when none does.</summary>
    public long? VersionOf(string name) => _state.Models.GetValueOrDefault(name)?.Row.Version;

    /// <summary>Why the newest version of this name does not serve here; null when it does, or was not looked at yet.</summary>
    public string? ProblemOf(string name) => _state.Problems.GetValueOrDefault(name);

    /// <param name="models">Those that serve.</param>
    /// <param name="problems">By name, why a model does not serve in its newest version.</param>
    /// <param name="byDefault">The name that POST /predict asks.</param>
    public void Swap(IEnumerable<ServedModel> models, IReadOnlyDictionary<string, string> problems, string? byDefault)
    {
        _state = new State(models.ToFrozenDictionary(m => m.Row.Name), problems.ToFrozenDictionary(), byDefault);
        _filled.TrySetResult();
    }

    ValueTask FilledAsync(CancellationToken ct) => _filled.Task.IsCompleted ? ValueTask.CompletedTask : new ValueTask(WaitAsync(ct));

    async Task WaitAsync(CancellationToken ct)
    {
        try
        {
            await _filled.Task.WaitAsync(Patience, clock, ct);
        }
        catch (TimeoutException)
        {
            throw new ProblemException(InferenceProblems.Loading, retryAfterSeconds: 1);
        }
    }

    static ServedModel Find(State state, string name) => state.Models.TryGetValue(name, out var model) ? model
        : throw (state.Problems.ContainsKey(name)
            ? new ProblemException(InferenceProblems.Unusable, retryAfterSeconds: 10)
            : new ProblemException(InferenceProblems.NotFound));

    sealed record State(FrozenDictionary<string, ServedModel> Models, FrozenDictionary<string, string> Problems, string? Default);
}

/// <summary>Loads what the table says serves, and looks again every so often: a command beside this server counts here within a second.</summary>
/// <remarks>
/// Models change in the process that trains, and every process that serves has to see it, so the table they share is the one signal there is; an
/// event would reach one consumer of a name. The look is one query of two small tables, and happens whether or not anyone predicts.
/// </remarks>
sealed class ModelWatch(ModelTable table, ModelFiles files, ServedModels served, TimeProvider clock, ILogger<ModelWatch> logger) : BackgroundService
{
    static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(400);

    // A file that comes back, from a backup say, is found after this.
    static readonly TimeSpan RetryAfter = TimeSpan.FromSeconds(10);

    readonly SemaphoreSlim _looking = new(1, 1);
    List<ServingRow> _rows = [];
    Dictionary<string, ServedModel> _models = [];
    Dictionary<string, string> _problems = [];
    long _retryFrom;
    bool _looked;

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        var failing = false;
        served.LookAsync = LookAsync;
        using var timer = new PeriodicTimer(Interval, clock);
        do
            try
            {
                await LookAsync(stoppingToken);
                if (failing)
                    logger.ModelsReadAgain();
                failing = false;
            }
            catch (Exception e) when (!stoppingToken.IsCancellationRequested)
            {
                // Once, not several times a second.
                if (!failing)
                    logger.ModelsNotRead(e);
                failing = true;
            }
        while (await timer.WaitForNextTickAsync(stoppingToken));
    }

    async Task LookAsync(CancellationToken ct)
    {
        await _looking.WaitAsync(ct);
        try
        {
            var rows = await table.ServingAsync(ct);
            if (!_looked || !rows.SequenceEqual(_rows) || _problems.Count > 0 && clock.GetElapsedTime(_retryFrom) > RetryAfter)
                await LoadAsync(rows, ct);
            _looked = true;
        }
        finally
        {
            _looking.Release();
        }
    }

    public override void Dispose()
    {
        _looking.Dispose();
        base.Dispose();
    }

    async Task LoadAsync(List<ServingRow> rows, CancellationToken ct)
    {
        var (models, problems) = (new Dictionary<string, ServedModel>(), new Dictionary<string, string>());
        foreach (var row in rows)
        {
            var known = _models.GetValueOrDefault(row.Name);
            try
            {
                models[row.Name] = known?.Row == row ? known : await LoadAsync(row, known, ct);
            }
            catch (UnusableModelException e)
            {
                problems[row.Name] = e.Message;
                // The version that serves is not displaced by one that cannot.
                if (known is not null)
                    models[row.Name] = known;
                if (_problems.GetValueOrDefault(row.Name) != e.Message)
                    logger.ModelUnusable(row.Name, row.Version, e.Message, known is null ? "until then it answers 503" : $"until then version {known.Row.Version} answers", e);
            }
        }

        (_rows, _models, _problems, _retryFrom) = (rows, models, problems, clock.GetTimestamp());
        served.Swap(models.Values, problems, rows.FirstOrDefault(r => r.IsDefault)?.Name);
    }

    async Task<ServedModel> LoadAsync(ServingRow row, ServedModel? known, CancellationToken ct)
    {
        // Another version or another default, but the same file: it is in memory.
        if (known?.Row.Digest == row.Digest)
            return new ServedModel(row, known.Model);
        var started = Stopwatch.GetTimestamp();
        var model = await files.LoadAsync(row.Digest, ct);
        logger.ModelServes(row.Name, row.Version, Stopwatch.GetElapsedTime(started).TotalMilliseconds);
        return new ServedModel(row, model);
    }
}
