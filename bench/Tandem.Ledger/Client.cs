using System.Collections.Concurrent;
using System.Diagnostics;
using System.Net.Http.Headers;
using System.Text;
using System.Text.Json;

namespace Tandem.Ledger;

/// <summary>An answer that counts.</summary>
/// <param name="Status">HTTP status.</param>
/// <param name="ETag">As sent.</param>
/// <param name="Body">JSON.</param>
/// <param name="SentAt">When the attempt that got it was sent (timestamp).</param>
sealed record Answer(int Status, string? ETag, string Body, long SentAt)
{
    public JsonElement Json => JsonDocument.Parse(Body).RootElement;
}

/// <summary>Sends a request again and again, to any of the addresses, until one answers it.</summary>
sealed class Client(IReadOnlyList<string> addresses) : IDisposable
{
    static readonly TimeSpan Patience = TimeSpan.FromSeconds(10);

    readonly HttpClient _http = new(new SocketsHttpHandler { ConnectTimeout = TimeSpan.FromSeconds(2), UseCookies = false }) { Timeout = Timeout.InfiniteTimeSpan };
    int _next;

    /// <summary>Answers that no promise covers, such as 500, with how often they came.</summary>
    public ConcurrentDictionary<string, int> Unexpected { get; } = new();

    /// <summary>How often a request had to be sent again.</summary>
    public long Repeated;

    public static HttpRequestMessage Json(HttpMethod method, string path, object body, string? token = null)
    {
        var request = new HttpRequestMessage(method, path) { Content = new StringContent(JsonSerializer.Serialize(body, JsonSerializerOptions.Web), Encoding.UTF8, "application/json") };
        if (token is not null)
            request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", token);
        return request;
    }

    /// <param name="make">Makes the request anew for every attempt; its address is a path.</param>
    /// <param name="expected">The statuses that settle it. A store that is away (502, 503, 504) is a reason to try again, anything else is noted.</param>
    /// <param name="ct">Ends the trying.</param>
    public async Task<Answer> SendAsync(Func<HttpRequestMessage> make, int[] expected, CancellationToken ct)
    {
        while (true)
        {
            var sentAt = Stopwatch.GetTimestamp();
            try
            {
                using var patience = CancellationTokenSource.CreateLinkedTokenSource(ct);
                patience.CancelAfter(Patience);
                using var request = make();
                request.RequestUri = new Uri(addresses[(int)((uint)Interlocked.Increment(ref _next) % addresses.Count)] + request.RequestUri);
                using var response = await _http.SendAsync(request, patience.Token);
                var body = await response.Content.ReadAsStringAsync(patience.Token);
                if (expected.Contains((int)response.StatusCode))
                    return new Answer((int)response.StatusCode, response.Headers.ETag?.Tag, body, sentAt);
                if ((int)response.StatusCode is not (502 or 503 or 504))
                    Unexpected.AddOrUpdate($"{request.Method} {Pattern(request.RequestUri!)} {(int)response.StatusCode} {Type(body)}", 1, (_, n) => n + 1);
            }
            catch (Exception e) when (e is HttpRequestException or IOException || e is OperationCanceledException && !ct.IsCancellationRequested)
            {
                // Nobody there, or gone in the middle: what became of it is what the repetition finds out.
            }

            Interlocked.Increment(ref Repeated);
            await Task.Delay(Random.Shared.Next(5, 40), ct);
        }
    }

    /// <summary>One attempt.</summary>
    /// <returns>Null when there was no answer of status 200.</returns>
    public async Task<string?> TryGetAsync(string url, CancellationToken ct)
    {
        try
        {
            using var patience = CancellationTokenSource.CreateLinkedTokenSource(ct);
            patience.CancelAfter(Patience);
            using var response = await _http.GetAsync(url, patience.Token);
            return (int)response.StatusCode == 200 ? await response.Content.ReadAsStringAsync(patience.Token) : null;
        }
        catch (Exception e) when (e is HttpRequestException or IOException || e is OperationCanceledException && !ct.IsCancellationRequested)
        {
            return null;
        }
    }

    /// <summary>The problem's code, which is the same for many answers as their trace ids are not.</summary>
    static string Type(string body)
    {
        try
        {
            return JsonDocument.Parse(body).RootElement.GetProperty("type").GetString() ?? body;
        }
        catch (Exception e) when (e is JsonException or KeyNotFoundException or InvalidOperationException)
        {
            return body.Length <= 100 ? body : body[..100];
        }
    }

    static string Pattern(Uri uri) => string.Concat(uri.Segments.Select(s => long.TryParse(s.Trim('/'), out _) ? "{id}/" : s));

    public void Dispose() => _http.Dispose();
}
