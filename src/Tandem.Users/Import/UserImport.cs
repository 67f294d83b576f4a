using System.Security.Cryptography;
using System.Text;

namespace Tandem.Users.Import;

/// <summary>One run over one file: reads, checks and stores users in batches, and counts what became of them.</summary>
sealed class UserImport(ImportTable table, string format, ImportSettings settings)
{
    // Some 20 ms on SQLite, beside which a running server writes nothing; beyond a few hundred a commit no longer counts.
    const int BatchSize = 200;

    // Which e-mails and foreign ids the file had so far, by half of their SHA-256, and where: 40 bytes each.
    readonly Dictionary<UInt128, int> _seen = [];
    readonly List<(SourceRecord Record, ImportedUser User)> _batch = new(BatchSize);

    public Counts Counts { get; } = new();

    /// <param name="refused">Told of each record that is not taken, in no particular order within a batch.</param>
    /// <param name="progressed">Called after each batch.</param>
    public async Task RunAsync(IEnumerable<SourceRecord> records, Action<SourceRecord, string, string> refused, Action progressed, CancellationToken ct)
    {
        foreach (var record in records)
        {
            Counts.Read++;
            try
            {
                var user = record.Fault is { } fault ? throw new RefusedException("record", fault) : Sources.Read(format, record.Members, settings);
                RememberOnce("email", user.Email, record);
                if (user.ExternalId is not null)
                    RememberOnce("external_id", $"{user.ExternalSource} {user.ExternalId}", record);
                _batch.Add((record, user));
            }
            catch (RefusedException e)
            {
                Counts.Refused++;
                refused(record, e.Field, e.Message);
            }

            if (_batch.Count == BatchSize)
                await StoreAsync(refused, progressed, ct);
        }

        if (_batch.Count > 0)
            await StoreAsync(refused, progressed, ct);
    }

    void RememberOnce(string field, string value, SourceRecord record)
    {
        var digest = SHA256.HashData(Encoding.UTF8.GetBytes($"{field} {value}"));
        if (!_seen.TryAdd(BitConverter.ToUInt128(digest), record.Line) && _seen[BitConverter.ToUInt128(digest)] is var line)
            throw new RefusedException(field, line == record.Line ? "stands in the file twice" : $"stands in the file twice, in line {line} before");
    }

    async Task StoreAsync(Action<SourceRecord, string, string> refused, Action progressed, CancellationToken ct)
    {
        ct.ThrowIfCancellationRequested();
        var stored = await table.StoreAsync(_batch.ConvertAll(b => b.User), format is "csv" or "json" ? "import" : format, settings, ct);
        foreach (var (i, (record, user)) in _batch.Index())
        {
            Counts.Add(stored[i].Outcome);
            if (stored[i] is { Outcome: Outcome.Refused, Field: { } field, Reason: { } reason })
                refused(record, field, reason);
            else if (stored[i].Outcome is Outcome.Added or Outcome.Updated)
            {
                Counts.WithoutPassword += user.PasswordHash is null && stored[i].Outcome == Outcome.Added ? 1 : 0;
                Counts.NotAdministrator += user.IsAdministrator && !settings.AllowAdministrators ? 1 : 0;
            }
        }

        _batch.Clear();
        progressed();
    }
}

/// <summary>How many records came to what.</summary>
sealed class Counts
{
    readonly int[] _outcomes = new int[Enum.GetValues<Outcome>().Length];

    public int Read { get; set; }
    public int Refused { get => this[Outcome.Refused]; set => _outcomes[(int)Outcome.Refused] = value; }
    /// <summary>Of those added: have no password.</summary>
    public int WithoutPassword { get; set; }
    /// <summary>Of those added and updated: were administrators where they come from, and are not here.</summary>
    public int NotAdministrator { get; set; }

    public int this[Outcome outcome] => _outcomes[(int)outcome];

    public void Add(Outcome outcome) => _outcomes[(int)outcome]++;
}
