using System.Collections.Concurrent;
using System.Globalization;

namespace Tandem.Ledger;

/// <summary>
/// One client: makes items and changes them one number at a time, and signs people up. What is not answered it sends again with the same key
/// (a new one) or for the same version (a change), and goes on only when the acknowledgement is in the file.
/// </summary>
sealed class Writer(int number, Client client, Acknowledgements acknowledgements, Progress progress, ConcurrentDictionary<string, long> asked, Random random)
{
    const string Password = "correct horse battery";
    const int SignUpEvery = 20;

    string _token = "";

    /// <summary>What was found not to be as it had been acknowledged, while writing.</summary>
    public List<string> Lost { get; } = [];

    /// <param name="stopping">No new item after this; the one in hand is finished.</param>
    /// <param name="giveUp">Not even that.</param>
    public async Task RunAsync(CancellationToken stopping, CancellationToken giveUp)
    {
        for (var i = 0; !stopping.IsCancellationRequested; i++)
            if (i % SignUpEvery == SignUpEvery - 1)
                await SignUpAsync($"w{number}-{i:000000}@example.com", giveUp);
            else
                await WriteItemAsync($"w{number}-{i:000000}", random.Next(2, 7), giveUp);
    }

    public async Task SignInAsync(CancellationToken ct)
    {
        var email = $"w{number}@example.com";
        await SignUpAsync(email, ct);
        var answer = await client.SendAsync(() => new HttpRequestMessage(HttpMethod.Post, "/token")
        {
            Content = new FormUrlEncodedContent(new Dictionary<string, string> { ["username"] = email, ["password"] = Password }),
        }, [200], ct);
        _token = answer.Json.GetProperty("access_token").GetString() ?? throw new InvalidDataException("POST /token answered without a token.");
    }

    async Task SignUpAsync(string email, CancellationToken ct)
    {
        asked[email] = 0;
        var answer = await client.SendAsync(() => Keyed(Client.Json(HttpMethod.Post, "/users", new { email, name = "Writer", password = Password }), email), [201], ct);
        Acknowledge(new Change("users", email, Id(answer), 0), answer);
    }

    async Task WriteItemAsync(string name, int changes, CancellationToken ct)
    {
        asked[name] = 0;
        var created = await client.SendAsync(() => Keyed(Client.Json(HttpMethod.Post, "/items", new { name, number = 0 }, _token), name), [201], ct);
        var (id, tag) = (Id(created), created.ETag);
        Acknowledge(new Change("items", name, id, 0), created);
        for (var next = 1; next <= changes; next++)
        {
            await Task.Delay(random.Next(0, 10), ct);
            asked[name] = next;
            var answer = await ChangeAsync(id, next, tag, ct);
            if (NumberOf(answer) is var number && number != next)
            {
                Lost.Add($"{name}: {next - 1} was acknowledged, and change {next} met {number?.ToString(CultureInfo.InvariantCulture) ?? "nothing"}");
                return;
            }

            tag = answer.ETag;
            Acknowledge(new Change("items", name, id, next), answer);
        }

        // Read at once, by whichever process: what was acknowledged is there for everybody.
        if (NumberOf(await ReadAsync(id, ct)) is var read && read != changes)
            Lost.Add($"{name}: {changes} was acknowledged, and then {read?.ToString(CultureInfo.InvariantCulture) ?? "nothing"} was read");
    }

    /// <summary>Changes the version that was read. Refused means that an attempt without an answer came through: then what is there tells.</summary>
    async Task<Answer> ChangeAsync(long id, long next, string? tag, CancellationToken ct)
    {
        var answer = await client.SendAsync(() =>
        {
            var request = Client.Json(HttpMethod.Patch, $"/items/{id}", new { number = next }, _token);
            request.Headers.TryAddWithoutValidation("If-Match", tag);
            return request;
        }, [200, 404, 412], ct);
        return answer.Status == 412 ? await ReadAsync(id, ct) : answer;
    }

    static long? NumberOf(Answer answer) => answer.Status == 200 ? answer.Json.GetProperty("number").GetInt64() : null;

    Task<Answer> ReadAsync(long id, CancellationToken ct) => client.SendAsync(() =>
    {
        var request = new HttpRequestMessage(HttpMethod.Get, $"/items/{id}");
        request.Headers.Authorization = new("Bearer", _token);
        return request;
    }, [200, 404], ct);

    void Acknowledge(Change change, Answer answer)
    {
        acknowledgements.Add(change);
        progress.Acknowledged(number, change, answer.SentAt);
    }

    static long Id(Answer answer) => answer.Json.GetProperty("id").GetInt64();

    static HttpRequestMessage Keyed(HttpRequestMessage request, string key)
    {
        request.Headers.Add("Idempotency-Key", key);
        return request;
    }
}
