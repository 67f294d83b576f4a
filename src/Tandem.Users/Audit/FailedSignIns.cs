using Tandem.Core;
using Tandem.Core.Data;

namespace Tandem.Users.Audit;

/// <summary>
/// Failed sign-ins on their way to the audit trail: counted per account, network and minute, and written beside the requests. Nobody who guesses waits for
/// a write or makes others wait, and however many guess, a process writes a bounded number of rows.
/// </summary>
/// <remarks>
/// Whether an e-mail has an account cannot be told from what happens here: both are counted in memory, in the same way. The first failure of a minute is in the
/// trail within a second, the number of the rest when the minute is over. A process that is killed forgets what it has counted in its last second, and the
/// numbers of its last minute.
/// </remarks>
sealed class FailedSignIns(AuditTrail trail, Db db, TimeProvider clock) : IDisposable
{
    /// <summary>Two rows each in a minute: at 300 bytes a row an attack of any size fills at most 90 MB a day and process.</summary>
    public const int MaxKeys = 100;

    static readonly TimeSpan Minute = TimeSpan.FromMinutes(1);

    readonly Lock _gate = new();
    readonly SemaphoreSlim _writing = new(1);
    readonly Dictionary<Key, Entry> _counted = [];
    DateTime _since = clock.UtcNow();

    /// <param name="account">The account, when there is one; what was typed is never kept: it may have been a password.</param>
    /// <param name="origin">From where.</param>
    /// <param name="reason">What was wrong.</param>
    public void Add(long? account, Origin origin, string reason)
    {
        var key = new Key(account, origin.Network, reason);
        lock (_gate)
        {
            if (!_counted.TryGetValue(key, out var entry))
            {
                // One more for all that find no place: how many there were is still known.
                if (_counted.Count >= MaxKeys && !_counted.TryGetValue(key = new Key(null, null, reason), out entry))
                    origin = origin with { Network = null, UserAgent = null, TraceId = null };
                if (entry is null)
                    _counted.Add(key, entry = new Entry(origin, clock.UtcNow()));
            }

            entry.Count++;
        }
    }

    /// <summary>Writes what is new since the last minute; <paramref name="all"/>: also what was counted since.</summary>
    public async Task WriteAsync(bool all, CancellationToken ct)
    {
        await _writing.WaitAsync(ct);
        try
        {
            var now = clock.UtcNow();
            var isOver = now - _since >= Minute || now < _since;
            List<(Key Key, Entry Entry, int New)> due;
            lock (_gate)
                due = [.. _counted.Select(e => (e.Key, e.Value, e.Value.Count - e.Value.Written)).Where(d => d.Item3 > 0 && (all || isOver || d.Value.Written == 0))];
            if (due.Count > 0)
                await db.InTransactionAsync(async tx =>
                {
                    foreach (var (key, entry, count) in due)
                        await trail.AddAsync(tx, AuditEvents.SignInFailed, entry.Origin, key.Account, entry.At, key.Reason, times: count);
                }, ct);
            lock (_gate)
            {
                foreach (var (key, entry, count) in due)
                    entry.Written += count;
                if (isOver)
                {
                    foreach (var key in _counted.Where(e => e.Value.Written == e.Value.Count).Select(e => e.Key).ToList())
                        _counted.Remove(key);
                    _since = now;
                }
            }
        }
        finally
        {
            _writing.Release();
        }
    }

    public void Dispose() => _writing.Dispose();

    readonly record struct Key(long? Account, string? Network, string Reason);

    sealed class Entry(Origin origin, DateTime at)
    {
        public Origin Origin => origin;
        public DateTime At => at;
        public int Count { get; set; }
        public int Written { get; set; }
    }
}
