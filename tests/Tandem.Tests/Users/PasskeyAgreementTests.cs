using System.Buffers.Text;
using System.Diagnostics;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Identity;
using Tandem.Tests.Deploy;
using Tandem.Tests.Repo;
using Tandem.Users;
using Tandem.Users.Passkeys;

namespace Tandem.Tests.Users;

/// <summary>What checks our passkeys, beside @simplewebauthn/server, over genuine ceremonies and over hundreds that are not quite.</summary>
[Storeless("Ceremonies are checked; none is stored.")]
public sealed class PasskeyAgreementTests(ITestOutputHelper output)
{
    const string Origin = "https://example.com";
    const string Domain = "example.com";

    readonly Ceremonies _ceremonies = new(new UsersOptions { PublicUrl = Origin });

    readonly DefaultHttpContext _http = new();

    /// <summary>
    /// Of each ceremony every byte of its parts is changed, one at a time, and for sign-ins once more with a signature made afterwards, so that something else than the signature has to notice. Where the two
    /// do not agree, they differ for one of the reasons in <see cref="MayDiffer"/>, each of which says who may be the stricter one.
    /// </summary>
    [Theory]
    [InlineData(SoftAuthenticator.ES256, 0u)]
    [InlineData(SoftAuthenticator.ES256, 7u)]
    [InlineData(SoftAuthenticator.ES384, 0u)]
    [InlineData(SoftAuthenticator.RS256, 7u)]
    public async Task Both_take_the_same_ceremonies_and_refuse_the_same(string algorithm, uint counter)
    {
        Assert.SkipUnless(Directory.Exists(Path.Combine(Repository.Root, "artifacts", "tools", "node_modules", "@simplewebauthn")), "What tests/tools names is not installed; ./test does that.");
        using var authenticator = new SoftAuthenticator(algorithm, Domain, Origin) { Counter = counter };
        var bent = await CeremoniesOfAsync(authenticator, new Random(20260131));

        var ours = new List<bool>();
        foreach (var ceremony in bent)
            ours.Add(await TakesAsync(ceremony, authenticator, counter));
        var theirs = await OthersAsync(bent);

        var unlike = bent.Select((c, i) => (Ceremony: c, Ours: ours[i], Theirs: theirs[i])).Where(d => d.Ours != (d.Theirs is null) && !MayDiffer(d.Ceremony, d.Ours)).ToList();
        var differing = bent.Where((_, i) => ours[i] != (theirs[i] is null)).GroupBy(c => c.Part).Select(g => $"{g.Key}: {g.Count()}");
        output.WriteLine($"{bent.Count} ceremonies; both take {ours.Where((o, i) => o && theirs[i] is null).Count()}, both refuse {ours.Where((o, i) => !o && theirs[i] is not null).Count()}; they differ in {string.Join(", ", differing)}");
        Assert.True(unlike.Count == 0, string.Join('\n', unlike.Take(20).Select(d => $"{d.Ceremony.Part} at {d.Ceremony.At} ({d.Ceremony.Kind}): {(d.Ours ? "taken" : "refused")} here; there {d.Theirs ?? "taken"}")));
        // The genuine ones are in it, and the test can tell.
        Assert.All(bent.Index().Where(c => c.Item.Part == "nothing"), c => Assert.True(ours[c.Index] && theirs[c.Index] is null, theirs[c.Index]));
        Assert.InRange(ours.Count(o => !o), bent.Count / 2, bent.Count - 2);
        Assert.True(bent.Count > 1000, $"{bent.Count}");
    }

    /// <summary>
    /// Where they rightly differ. Two things are taken here and refused there: a statement that nobody asked for, and names of the client data in other letters than browsers write.
    /// </summary>
    static bool MayDiffer(Ceremony ceremony, bool ours) => (ceremony.Kind, ceremony.Part, ours) switch
    {
        // Attestation is "none": the maker's statement is not asked for and not looked at here, so its format may be any (WebAuthn, 7.1, steps 21 to 24); there it must be one that is known.
        // The lengths around it are taken at their word here, and not always there.
        ("create", "statement", _) => true,
        // Bytes behind the last one, or one too few: refused here.
        ("create", "authenticator data", false) => ceremony.Changed is null,
        // The same two numbers spelt as DER does not spell them: one byte more at the end, another tag in front.
        ("get", "signature", false) => true,
        // There the key is first read when it signs; here when it comes: a point that is not on its curve, or a key of another form.
        ("create", "key", false) => true,
        // WebAuthn, 7.1, step 4 wants the id of the answer to be that in the authenticator's data; there it is left to the caller.
        ("create", "id", false) => true,
        // "UTF-8 decode" puts a replacement character where bytes are no text (7.1, step 5); our parser takes them for no JSON. Browsers write neither.
        ("create" or "forged", "client data", false) => ceremony.Changed is > 0x7f,
        // {"Challenge": …}: our parser knows members in capitals as well. Whoever could write that could write it right.
        ("create" or "forged", "client data", true) => ceremony is { Was: { } was, Changed: { } changed } && (was ^ changed) == 0x20 && char.IsAsciiLetter((char)was),
        // A passkey that could not be synced and now can, or the other way round (7.2, step 19): there it is left to the caller.
        ("forged", "flags", false) => true,
        _ => false,
    };

    async Task<List<Ceremony>> CeremoniesOfAsync(SoftAuthenticator authenticator, Random random)
    {
        var (bent, genuine) = (new List<Ceremony>(), authenticator.IdText);
        var forNew = await _ceremonies.BeginNewAsync(new PasskeyUserEntity { Id = "a-handle", Name = "ada@example.com", DisplayName = "Ada" }, [], _http);
        var asked = await _ceremonies.BeginAsync(_http);
        var created = authenticator.Create(JsonElement.Parse(forNew.CreationOptionsJson));
        bent.Add(Of("create", "nothing", 0, null, null, created));
        var (client, attested) = (Bytes(created, "clientDataJSON"), Bytes(created, "attestationObject"));
        foreach (var (at, was, changed, bytes) in Bent(client, random))
            bent.Add(Of("create", "client data", at, was, changed, authenticator.Created(bytes, attested)));
        var data = authenticator.AuthenticatorData(withKey: true);
        var start = attested.AsSpan().IndexOf(data);
        foreach (var (at, was, changed, bytes) in Bent(attested, random))
            bent.Add(Of("create", PartOf(at - start, data.Length), at, was, changed, authenticator.Created(client, bytes)));

        var got = authenticator.Get(JsonElement.Parse(asked.RequestOptionsJson));
        bent.Add(Of("get", "nothing", 0, null, null, got));
        var (client2, data2, signature) = (Bytes(got, "clientDataJSON"), Bytes(got, "authenticatorData"), Bytes(got, "signature"));
        foreach (var (at, was, changed, bytes) in Bent(client2, random))
        {
            bent.Add(Of("get", "client data", at, was, changed, authenticator.Got(bytes, data2, signature)));
            bent.Add(Of("forged", "client data", at, was, changed, authenticator.Got(bytes, data2, authenticator.Sign(bytes, data2))));
        }

        foreach (var (at, was, changed, bytes) in Bent(data2, random))
        {
            bent.Add(Of("get", "authenticator data", at, was, changed, authenticator.Got(client2, bytes, signature)));
            bent.Add(Of("forged", at == 32 ? "flags" : "authenticator data", at, was, changed, authenticator.Got(client2, bytes, authenticator.Sign(client2, bytes))));
        }

        foreach (var (at, was, changed, bytes) in Bent(signature, random))
            bent.Add(Of("get", "signature", at, was, changed, authenticator.Got(client2, data2, bytes)));
        for (var flags = 0; flags < 256; flags++)
        {
            byte[] bytes = [.. data2];
            bytes[32] = (byte)flags;
            bent.Add(Of("forged", "flags", 32, null, null, authenticator.Got(client2, bytes, authenticator.Sign(client2, bytes))));
        }

        var id = authenticator.Id;
        foreach (var (at, was, changed, bytes) in Bent(id, random))
        {
            authenticator.Id = bytes;
            bent.Add(Of("get", "id", at, was, changed, authenticator.Got(client2, data2, signature)));
            bent.Add(Of("create", "id", at, was, changed, authenticator.Created(client, attested)));
        }

        authenticator.Id = id;
        return bent;

        Ceremony Of(string kind, string part, int at, byte? was, byte? changed, JsonObject response) =>
            new(kind, part, at, was, changed, kind == "create" ? forNew.AttestationState! : asked.AssertionState!, Challenge(kind == "create" ? forNew.CreationOptionsJson : asked.RequestOptionsJson), response,
                authenticator.PublicKey(), genuine, authenticator.Counter);
    }

    /// <summary>Each byte changed, one bit or all of it; and one too few, one too many, and none at all.</summary>
    static IEnumerable<(int At, byte? Was, byte? Changed, byte[] Bytes)> Bent(byte[] bytes, Random random)
    {
        for (var at = 0; at < bytes.Length; at++)
        {
            byte[] bent = [.. bytes];
            bent[at] ^= random.Next(3) == 0 ? (byte)random.Next(1, 256) : (byte)(1 << random.Next(8));
            yield return (at, bytes[at], bent[at], bent);
        }

        yield return (bytes.Length, null, null, bytes[..^1]);
        yield return (bytes.Length, null, null, [.. bytes, 0]);
        yield return (bytes.Length, null, null, []);
    }

    /// <summary>WebAuthn, 6.5.1: 32 bytes of the domain's hash, flags, counter, 16 bytes of the maker's, the length of the id, the id, the key.</summary>
    static string PartOf(int at, int length) => at switch
    {
        < 0 => "statement",
        _ when at >= length => "authenticator data",
        >= 55 and < 55 + 32 => "id",
        >= 55 + 32 => "key",
        _ => "authenticator data",
    };

    async Task<bool> TakesAsync(Ceremony ceremony, SoftAuthenticator authenticator, uint counter)
    {
        var json = ceremony.Response.ToJsonString();
        if (ceremony.Kind == "create")
            return (await _ceremonies.CheckNewAsync(json, ceremony.State, _http)).Succeeded;
        // As the table finds it.
        if ((string?)ceremony.Response["id"] != authenticator.IdText)
            return false;
        var known = new UserPasskeyInfo(authenticator.Id, authenticator.PublicKey(), DateTimeOffset.UnixEpoch, 0, [], true, false, false, [], []);
        var answer = await _ceremonies.CheckAsync(json, ceremony.State, "a-handle", known, _http);
        // And as the statement compares that stores the next one.
        return answer.Succeeded && (answer.Passkey.SignCount > Before(counter) || answer.Passkey.SignCount == 0 && Before(counter) == 0);
    }

    static uint Before(uint counter) => counter == 0 ? 0 : counter - 1;

    async Task<List<string?>> OthersAsync(List<Ceremony> ceremonies)
    {
        var (code, said, error) = await Tools.RunAsync(new ProcessStartInfo("node", [Path.Combine(Repository.Root, "tests", "tools", "passkeys.mjs")]), JsonSerializer.Serialize(new
        {
            origin = Origin,
            domain = Domain,
            ceremonies = ceremonies.Select(c => new
            {
                kind = c.Kind == "create" ? "create" : "get",
                challenge = c.Challenge,
                response = c.Response,
                credential = new { id = c.IdText, publicKey = Base64Url.EncodeToString(c.PublicKey), counter = Before(c.Counter) },
            }),
        }));
        Assert.True(code == 0, error);
        return JsonSerializer.Deserialize<List<string?>>(said)!; // it prints a list
    }

    static byte[] Bytes(JsonObject credential, string name) => Base64Url.DecodeFromChars(credential["response"]![name]!.GetValue<string>()); // the authenticator puts it there

    static string Challenge(string options) => JsonElement.Parse(options).GetProperty("challenge").GetString()!; // there is always one

    sealed record Ceremony(string Kind, string Part, int At, byte? Was, byte? Changed, string State, string Challenge, JsonObject Response, byte[] PublicKey, string IdText, uint Counter);
}
