using Tandem.Core.Data;

namespace Tandem.Users.Audit;

/// <summary>
/// The audit trail: what happened to accounts, sessions and keys, each row chained to the one before by a hash, so that nothing is changed, removed or
/// put in between without a trace.
/// </summary>
/// <remarks>
/// A change adds its row within its own transaction, to a table where nobody waits for anybody. <see cref="SealAsync"/> gives numbers and hashes to what
/// has committed, many rows at a time: only sealers wait for each other, at the one row that is the end of the chain.
/// </remarks>
sealed class AuditTrail(Db db)
{
    // A hundred rows are some ten milliseconds of a transaction, and the end of the chain is held no longer.
    const int BatchSize = 100;

    const int PageSize = 1000;

    static readonly Sql Columns = Sql.Raw("number, occurred_at, event, actor, actor_id, credential_id, subject_id, object_id, network, user_agent, reason, trace_id, times");

    static readonly string Genesis = AuditEntry.Genesis;

    /// <summary>Says that something happened; the row is there exactly when the transaction commits.</summary>
    /// <param name="tx">Of the change.</param>
    /// <param name="what">One of <see cref="AuditEvents"/>.</param>
    /// <param name="origin">Who did it.</param>
    /// <param name="subject">The account that it is about.</param>
    /// <param name="now">UTC.</param>
    /// <param name="reason">Never a secret, nor anything that a visitor typed.</param>
    /// <param name="subjectPart">The session or key of the account that it is about.</param>
    /// <param name="times">How often.</param>
    public Task AddAsync(Transaction tx, string what, Origin origin, long? subject, DateTime now, string? reason = null, Guid? subjectPart = null, int times = 1) =>
        tx.ExecuteAsync($"""
            insert into users_audit_pending (occurred_at, event, actor, actor_id, credential_id, subject_id, object_id, network, user_agent, reason, trace_id, times)
            values ({now}, {what}, {origin.Actor}, {origin.ActorId}, {origin.CredentialId}, {subject}, {subjectPart}, {origin.Network}, {origin.UserAgent},
                {reason}, {origin.TraceId}, {times})
            """, CancellationToken.None);

    /// <summary>Chains every row that was committed before the call.</summary>
    public async Task SealAsync(CancellationToken ct)
    {
        while (await db.FindAsync<bool>(Sql.Raw("select exists (select 1 from users_audit_pending)"), ct) && await SealBatchAsync(ct) == BatchSize)
        {
        }
    }

    Task<int> SealBatchAsync(CancellationToken ct) => db.InTurnAsync(async tx =>
    {
        // The end of the chain first: of two sealers the second waits here.
        var head = await tx.FindAsync<AuditHead>($"""
            insert into users_audit_head (id, number, hash) values (1, 0, {Genesis}) on conflict (id) do update set id = 1 returning number, hash
            """, ct) ?? throw new InvalidOperationException("An upsert that returns a row has returned none.");
        var rows = await tx.ListAsync<Pending>($"""
            delete from users_audit_pending where number in (select number from users_audit_pending order by number limit {BatchSize}) returning {Columns}
            """, ct);
        foreach (var row in rows.OrderBy(r => r.Number))
        {
            var entry = row.At(head.Number + 1);
            head = new AuditHead(entry.Number, entry.HashBehind(head.Hash));
            await tx.ExecuteAsync($"""
                insert into users_audit ({Columns}, hash)
                values ({entry.Number}, {entry.OccurredAt}, {entry.Event}, {entry.Actor}, {entry.ActorId}, {entry.CredentialId}, {entry.SubjectId}, {entry.ObjectId},
                    {entry.Network}, {entry.UserAgent}, {entry.Reason}, {entry.TraceId}, {entry.Times}, {head.Hash})
                """, ct);
        }

        await tx.ExecuteAsync($"update users_audit_head set number = {head.Number}, hash = {head.Hash} where id = 1", ct);
        return rows.Count;
    }, ct);

    /// <summary>The end of the chain; number 0 before the first row.</summary>
    public async Task<AuditHead> HeadAsync(CancellationToken ct) =>
        await db.FindAsync<AuditHead>(Sql.Raw("select number, hash from users_audit_head where id = 1"), ct) ?? new AuditHead(0, Genesis);

    /// <summary>A page of rows with the newest first.</summary>
    /// <param name="filter">Which rows.</param>
    /// <param name="before">Only rows with a lower number; null: from the newest on.</param>
    /// <param name="limit">How many at most.</param>
    public Task<List<AuditEntry>> FindAsync(AuditFilter filter, long? before, int limit, CancellationToken ct) =>
        db.ListAsync<AuditEntry>($"select {Columns}, hash from users_audit where {filter.Condition} and number < {before ?? long.MaxValue} order by number desc limit {limit}", ct);

    /// <summary>Every row that matches, oldest first, a page in memory at a time.</summary>
    public async IAsyncEnumerable<AuditEntry> ReadAsync(AuditFilter filter, [System.Runtime.CompilerServices.EnumeratorCancellation] CancellationToken ct)
    {
        // "Behind the last number" misses nothing: numbers are given out in one transaction after the other.
        for (var last = long.MinValue; ;)
        {
            var page = await db.ListAsync<AuditEntry>($"select {Columns}, hash from users_audit where number > {last} and {filter.Condition} order by number limit {PageSize}", ct);
            foreach (var entry in page)
                yield return entry;
            if (page.Count < PageSize)
                yield break;
            last = page[^1].Number;
        }
    }

    /// <summary>Follows the chain from its beginning.</summary>
    /// <param name="known">The hash of a row that was noted outside; null: none.</param>
    public async Task<AuditVerdict> VerifyAsync(string? known, CancellationToken ct)
    {
        var head = await HeadAsync(ct);
        var (last, hash, found) = (0L, Genesis, known is null || known == Genesis);
        await foreach (var entry in ReadAsync(AuditFilter.All, ct))
        {
            if (entry.Number <= last)
                return new AuditVerdict(last, hash, entry.Number, "was put in front of the first row");
            if (entry.Number > last + 1)
                return new AuditVerdict(last, hash, last + 1, "is missing");
            if (entry.Number == head.Number && entry.Hash != head.Hash)
                return new AuditVerdict(last, hash, entry.Number, "is not the one that was written last then");
            hash = entry.HashBehind(hash);
            if (hash != entry.Hash)
                return new AuditVerdict(last, hash, entry.Number, "is not as it was written, or not where it was");
            (last, found) = (entry.Number, found || hash == known);
        }

        if (last < head.Number)
            return new AuditVerdict(last, hash, last + 1, "is missing");
        // Others may have been written since the head was read, and nobody else adds any.
        if (last > head.Number && (await HeadAsync(ct)).Number is var now && last > now)
            return new AuditVerdict(last, hash, now + 1, "was put behind the last row");
        return found
            ? new AuditVerdict(last, hash, null, null)
            : new AuditVerdict(last, hash, last + 1, $"is missing, or the trail was written anew: no row has the hash {known}");
    }

    sealed record Pending(
        long Number, DateTime OccurredAt, string Event, string Actor, long? ActorId, Guid? CredentialId, long? SubjectId, Guid? ObjectId, string? Network,
        string? UserAgent, string? Reason, string? TraceId, int Times)
    {
        public AuditEntry At(long number) =>
            new(number, OccurredAt, Event, Actor, ActorId, CredentialId, SubjectId, ObjectId, Network, UserAgent, Reason, TraceId, Times, "");
    }
}

/// <summary>The end of the chain.</summary>
sealed record AuditHead(long Number, string Hash);

/// <summary>What came of following the chain.</summary>
/// <param name="Rows">How many rows are right, from the first one on.</param>
/// <param name="Hash">Of the last of them.</param>
/// <param name="Broken">The first row that is not right; null: all are.</param>
/// <param name="Fault">What is wrong with it, to be read behind "row N".</param>
sealed record AuditVerdict(long Rows, string Hash, long? Broken, string? Fault);

/// <summary>Which rows; null leaves a condition out.</summary>
/// <param name="Actor">An account's number, or the name of an actor.</param>
/// <param name="Subject">The account that they are about.</param>
/// <param name="Event">What happened.</param>
/// <param name="From">Not before.</param>
/// <param name="To">Before.</param>
sealed record AuditFilter(string? Actor = null, long? Subject = null, string? Event = null, DateTime? From = null, DateTime? To = null)
{
    public static readonly AuditFilter All = new();

    public Sql Condition
    {
        get
        {
            Sql sql = $"1 = 1";
            if (Actor is not null)
                sql.Append(long.TryParse(Actor, System.Globalization.CultureInfo.InvariantCulture, out var id) ? (Sql)$" and actor_id = {id}" : $" and actor = {Actor}");
            if (Subject is { } subject)
                sql.Append($" and subject_id = {subject}");
            if (Event is not null)
                sql.Append($" and event = {Event}");
            if (From is { } from)
                sql.Append($" and occurred_at >= {from}");
            if (To is { } to)
                sql.Append($" and occurred_at < {to}");
            return sql;
        }
    }
}
