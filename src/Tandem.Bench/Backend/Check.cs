using System.Net.Http.Headers;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Tandem.Bench.Backend;

/// <summary>A request whose answer everybody must give before anything is timed.</summary>
/// <param name="Body">JSON, or what should be; null: none.</param>
/// <param name="Status">Its answer's status; <see cref="Refused"/>: any from 400 to 499.</param>
/// <param name="Answer">The JSON of its answer; null: whatever it says.</param>
/// <param name="HasToken">False: nobody's token is sent.</param>
sealed record Check(string Method, string Path, string? Body, int Status, string? Answer = null, bool HasToken = true)
{
    public const int Refused = 400;

    /// <summary>In place of a value that differs, such as the id of what is made new.</summary>
    public const string Any = "*";

    /// <summary>The body is a form's, not JSON.</summary>
    public bool IsForm { get; init; }

    /// <summary>What differs; null when nothing does.</summary>
    public async Task<string?> DifferenceAsync(HttpClient http, string token, CancellationToken ct)
    {
        using var request = new HttpRequestMessage(new HttpMethod(Method), new Uri(Path, UriKind.Relative));
        if (HasToken)
            request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", token);
        if (Body is not null)
            request.Content = new StringContent(Body, Encoding.UTF8, IsForm ? "application/x-www-form-urlencoded" : "application/json");
        try
        {
            using var answer = await http.SendAsync(request, ct);
            return Difference((int)answer.StatusCode, await answer.Content.ReadAsStringAsync(ct));
        }
        catch (Exception e) when (e is HttpRequestException || e is OperationCanceledException && !ct.IsCancellationRequested)
        {
            return $"{Method} {Path} has no answer: {e.Message}";
        }
    }

    public string? Difference(int status, string answer)
    {
        var asked = $"{Method} {Path}{(Body is null ? "" : " " + Body)}{(HasToken ? "" : " without a token")}";
        if (Status == Refused ? status is < 400 or > 499 : status != Status)
            return $"{asked} is answered with {status} {answer}, where {(Status == Refused ? "a refusal" : Status)} was expected";
        return Answer is null || Same(JsonNode.Parse(Answer), Parse(answer)) ? null : $"{asked} is answered with {answer}, where {Answer} was expected";
    }

    static JsonNode? Parse(string text)
    {
        try
        {
            return JsonNode.Parse(text);
        }
        catch (JsonException)
        {
            // Like nothing that is expected.
            return text;
        }
    }

    /// <summary>The same members and values; the order of members, and how a number is written, are a matter of taste.</summary>
    static bool Same(JsonNode? expected, JsonNode? actual) => (expected, actual) switch
    {
        (JsonValue e, not null) when e.GetValueKind() == JsonValueKind.String && e.GetValue<string>() == Any => true,
        (JsonObject e, JsonObject a) => e.Count == a.Count && e.All(m => a.TryGetPropertyValue(m.Key, out var value) && Same(m.Value, value)),
        (JsonArray e, JsonArray a) => e.Count == a.Count && e.Zip(a).All(p => Same(p.First, p.Second)),
        (JsonValue e, JsonValue a) when e.GetValueKind() == JsonValueKind.Number && a.GetValueKind() == JsonValueKind.Number =>
            decimal.Parse(e.ToJsonString(), Invariant) == decimal.Parse(a.ToJsonString(), System.Globalization.NumberStyles.Float, Invariant),
        _ => JsonNode.DeepEquals(expected, actual),
    };

    static System.Globalization.CultureInfo Invariant => System.Globalization.CultureInfo.InvariantCulture;
}
