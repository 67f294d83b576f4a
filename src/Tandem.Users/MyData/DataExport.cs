using System.Text.Json;
using Tandem.Core;
using Tandem.Core.Contracts;
using Tandem.Core.Data;
using Tandem.Core.Http;
using Tandem.Core.Jobs;
using Tandem.Users.Audit;

namespace Tandem.Users.MyData;

/// <summary>Collects all that is held on a person into one JSON document.</summary>
/// <param name="AccountId">Whose.</param>
/// <param name="Origin">Who asked for it.</param>
[Job("users.export-data")]
sealed record ExportData(long AccountId, Origin Origin);

sealed class DataExporter(IEnumerable<IPersonalData> holders, Exports exports, Db db, AuditTrail trail, UsersOptions options, TimeProvider clock) : IJobHandler<ExportData>
{
    public async Task RunAsync(JobRun<ExportData> run, CancellationToken cancellationToken)
    {
        var (account, all) = (run.Job.AccountId, holders.ToList());
        var now = clock.UtcNow();
        // A crashed attempt has left parts behind.
        await exports.BeginAsync(run.Id, account, now, now + options.ExportLifetime, cancellationToken);
        var to = new PartStream(db, run.Id);
        await using var json = new Utf8JsonWriter(to, new JsonWriterOptions { Indented = true });
        json.WriteStartObject();
        json.WriteNumber("account_id", account);
        json.WriteString("exported_at", now);
        foreach (var (i, holder) in all.Index())
        {
            json.WriteStartObject(holder.Name);
            var (kind, count) = ((string?)null, 0);
            await foreach (var record in holder.ReadAsync(account, cancellationToken))
            {
                if (record.Kind != kind)
                {
                    if (kind is not null)
                        json.WriteEndArray();
                    json.WriteStartArray(kind = record.Kind);
                }

                JsonSerializer.Serialize(json, record.Value, record.Value.GetType(), Json.Stored);
                count++;
                if (json.BytesPending > PartStream.Size)
                {
                    await json.FlushAsync(cancellationToken);
                    await to.StoreAsync(whole: true, cancellationToken);
                    run.Report((double)i / all.Count, $"{holder.Name}: {count:n0} records");
                }
            }

            if (kind is not null)
                json.WriteEndArray();
            json.WriteEndObject();
            run.Report((i + 1.0) / all.Count, $"{holder.Name}: {count:n0} records");
        }

        json.WriteEndObject();
        await json.FlushAsync(cancellationToken);
        await to.StoreAsync(whole: false, cancellationToken);
        await run.CompleteAsync(async tx =>
        {
            await Exports.FinishAsync(tx, run.Id, to.Stored);
            await trail.AddAsync(tx, AuditEvents.DataExported, run.Job.Origin, account, now);
        });
    }
}
