using System.CommandLine;
using System.Globalization;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using Microsoft.Extensions.DependencyInjection;
using Tandem.Core;
using Tandem.Users.Hashes;

namespace Tandem.Users.Import;

/// <summary><c>tandem user export</c>: every account with all that is stored of it, in a form that the import takes.</summary>
static class ExportCommand
{
    const int PageSize = 1000;
    const string TimeFormat = "yyyy-MM-dd'T'HH:mm:ss.FFFFFF'Z'";

    public static Command Make(ICommandHost host)
    {
        var path = new Option<string?>("--out") { Description = "A new file, which only you can read (default: standard output)" };
        var format = new Option<string>("--format") { Description = "json (an array, a line each) or csv", DefaultValueFactory = _ => "json" };
        format.AcceptOnlyFromAmong("json", "csv");
        var hashes = new Option<bool>("--with-password-hashes") { Description = "Also the hashes of the passwords: whoever has them can try passwords" };
        var everything = new Option<bool>("--everything") { Description = "Password hashes and all else that is a person's: passkeys, authenticator apps (in the clear), API keys, groups, …; JSON only" };
        everything.Validators.Add(r =>
        {
            if (r.GetValueOrDefault<bool>() && r.GetValue(format) == "csv")
                r.AddError("--everything needs --format json: a table has no room for it");
        });
        var command = new Command("export", "Write every account to a file, for another program or another Tandem") { path, format, hashes, everything };
        command.SetAction((parsed, ct) => host.RunAsync(async (services, ct) =>
        {
            var table = services.GetRequiredService<ImportTable>();
            var all = parsed.GetValue(everything);
            var columns = all || parsed.GetValue(hashes) ? Sources.Columns : [.. Sources.Columns.Where(c => c != "password_hash")];
            var rows = parsed.GetValue(format) == "csv" ? new CsvRows(columns) : (IRows)new JsonRows(columns);
            if (!all && await table.CountBesideAsync(ct) is { Count: > 0 } left)
                parsed.InvocationConfiguration.Error.WriteLine($"left out: {string.Join(", ", left.Select(l => $"{l.Rows.ToString("N0", CultureInfo.InvariantCulture)} {l.Member}"))}; --everything takes them along, as JSON");
            if (parsed.GetValue(path) is not { } file)
            {
                await using var output = Console.OpenStandardOutput();
                await WriteAsync(table, rows, all, output, ct);
                return 0;
            }

            if (File.Exists(file))
                return UserCommands.Refuse(parsed, $"{file} is there already; name another one, or delete it first");

            try
            {
                await using var output = PrivateFile.Create(file, FileMode.CreateNew);
                var count = await WriteAsync(table, rows, all, output, ct);
                output.Flush(flushToDisk: true);
                parsed.InvocationConfiguration.Output.WriteLine($"{count.ToString("N0", CultureInfo.InvariantCulture)} accounts are in {file}");
                return 0;
            }
            catch
            {
                // Half an export looks like a whole one.
                File.Delete(file);
                throw;
            }
        }, ct));
        return command;
    }

    static async Task<long> WriteAsync(ImportTable table, IRows rows, bool everything, Stream output, CancellationToken ct)
    {
        var buffer = new MemoryStream();
        var (count, last) = (0L, 0L);
        rows.Begin(buffer);
        for (List<WholeAccount> page; (page = await table.ListAsync(last, PageSize, ct)).Count > 0; last = page[^1].Id)
        {
            var beside = everything ? await table.ListBesideAsync(page[0].Id, page[^1].Id, ct) : null;
            foreach (var account in page)
                rows.Write(buffer, account, beside?[account.Id] ?? [], isFirst: count++ == 0);
            buffer.Position = 0;
            await buffer.CopyToAsync(output, ct);
            buffer.SetLength(0);
        }

        rows.End(buffer, isEmpty: count == 0);
        buffer.Position = 0;
        await buffer.CopyToAsync(output, ct);
        await output.FlushAsync(ct);
        return count;
    }

    static object? Value(WholeAccount a, string column) => column switch
    {
        "id" => a.Id,
        "email" => a.Email,
        "name" => a.Name,
        "is_active" => a.IsActive,
        "is_administrator" => a.IsAdministrator,
        "created_at" => Time(a.CreatedAt),
        "email_verified_at" => a.EmailVerifiedAt is { } time ? Time(time) : null,
        "last_sign_in_at" => a.LastSignInAt is { } time ? Time(time) : null,
        "external_source" => a.ExternalSource,
        "external_id" => a.ExternalId,
        "password_hash" => a.PasswordHash == StoredHash.None ? null : a.PasswordHash,
        _ => throw new ArgumentException($"An account has no {column}.", nameof(column)),
    };

    public static string Time(DateTime time) => time.ToString(TimeFormat, CultureInfo.InvariantCulture);

    interface IRows
    {
        void Begin(Stream to);
        void Write(Stream to, WholeAccount account, IEnumerable<PersonRow> beside, bool isFirst);
        void End(Stream to, bool isEmpty);
    }

    sealed class JsonRows(IReadOnlyList<string> columns) : IRows
    {
        static readonly JsonWriterOptions Options = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

        public void Begin(Stream to) => to.Write("["u8);

        public void Write(Stream to, WholeAccount account, IEnumerable<PersonRow> beside, bool isFirst)
        {
            to.Write(isFirst ? "\n"u8 : ",\n"u8);
            using var json = new Utf8JsonWriter(to, Options);
            json.WriteStartObject();
            foreach (var column in columns)
            {
                json.WritePropertyName(column);
                switch (Value(account, column))
                {
                    case null: json.WriteNullValue(); break;
                    case long number: json.WriteNumberValue(number); break;
                    case bool flag: json.WriteBooleanValue(flag); break;
                    case var text: json.WriteStringValue((string)text); break;
                }
            }

            foreach (var table in beside.GroupBy(r => r.Table))
            {
                json.WriteStartArray(table.Key.Member);
                foreach (var row in table)
                    table.Key.Write(json, row.Values);
                json.WriteEndArray();
            }

            json.WriteEndObject();
        }

        public void End(Stream to, bool isEmpty) => to.Write(isEmpty ? "]\n"u8 : "\n]\n"u8);
    }

    /// <summary>RFC 4180, with line feeds.</summary>
    sealed class CsvRows(IReadOnlyList<string> columns) : IRows
    {
        public void Begin(Stream to) => Line(to, columns);

        public void Write(Stream to, WholeAccount account, IEnumerable<PersonRow> beside, bool isFirst) => Line(to, columns.Select(c => Value(account, c) switch
        {
            null => "",
            bool flag => flag ? "true" : "false",
            var value => Convert.ToString(value, CultureInfo.InvariantCulture) ?? "",
        }));

        public void End(Stream to, bool isEmpty)
        {
        }

        static void Line(Stream to, IEnumerable<string> cells) => to.Write(Encoding.UTF8.GetBytes(string.Join(',', cells.Select(CsvText.Quote)) + "\n"));
    }
}
