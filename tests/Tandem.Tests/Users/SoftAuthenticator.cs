using System.Buffers.Binary;
using System.Buffers.Text;
using System.Formats.Cbor;
using System.Net.Http.Json;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Tandem.Tests.Users;

/// <summary>An authenticator with one key, and the browser in front of it: answers as WebAuthn has them, and as it does not where a test bends them.</summary>
sealed class SoftAuthenticator(string algorithm = SoftAuthenticator.ES256, string domain = "localhost", string origin = "http://localhost:5173") : IDisposable
{
    public const string ES256 = "ES256";
    public const string ES384 = "ES384";
    public const string RS256 = "RS256";

    public const byte UserPresent = 0x01;
    public const byte UserVerified = 0x04;
    public const byte BackupEligible = 0x08;
    public const byte BackedUp = 0x10;
    public const byte Attested = 0x40;

    readonly AsymmetricAlgorithm _key = algorithm switch
    {
        ES384 => ECDsa.Create(ECCurve.NamedCurves.nistP384),
        RS256 => RSA.Create(2048),
        _ => ECDsa.Create(ECCurve.NamedCurves.nistP256),
    };

    public byte[] Id { get; set; } = RandomNumberGenerator.GetBytes(32);

    public uint Counter { get; set; }

    public byte Flags { get; set; } = UserPresent | UserVerified;

    public string Origin { get; set; } = origin;

    public bool CrossOrigin { get; set; }

    public string? UserHandle { get; set; }

    public string IdText => Base64Url.EncodeToString(Id);

    /// <summary>Answers what POST /auth/passkeys/options has in <c>options</c>.</summary>
    public JsonObject Create(JsonElement options)
    {
        UserHandle = options.GetProperty("user").GetProperty("id").GetString();
        return Created(ClientData("webauthn.create", options.GetProperty("challenge").GetString()!), AttestationObject(AuthenticatorData(withKey: true)));
    }

    /// <summary>Answers what POST /auth/passkey/options has in <c>options</c>.</summary>
    public JsonObject Get(JsonElement options)
    {
        var (client, data) = (ClientData("webauthn.get", options.GetProperty("challenge").GetString()!), AuthenticatorData());
        return Got(client, data, Sign(client, data));
    }

    public JsonObject Created(byte[] clientData, byte[] attestationObject) => Credential(new JsonObject
    {
        ["clientDataJSON"] = Base64Url.EncodeToString(clientData),
        ["attestationObject"] = Base64Url.EncodeToString(attestationObject),
        ["transports"] = new JsonArray("internal", "hybrid"),
    });

    public JsonObject Got(byte[] clientData, byte[] authenticatorData, byte[] signature) => Credential(new JsonObject
    {
        ["clientDataJSON"] = Base64Url.EncodeToString(clientData),
        ["authenticatorData"] = Base64Url.EncodeToString(authenticatorData),
        ["signature"] = Base64Url.EncodeToString(signature),
        ["userHandle"] = UserHandle,
    });

    JsonObject Credential(JsonObject response) => new()
    {
        ["id"] = IdText,
        ["rawId"] = IdText,
        ["type"] = "public-key",
        ["authenticatorAttachment"] = "platform",
        ["response"] = response,
        ["clientExtensionResults"] = new JsonObject(),
    };

    public byte[] ClientData(string type, string challenge) =>
        Encoding.UTF8.GetBytes($$"""{"type":"{{type}}","challenge":"{{challenge}}","origin":"{{Origin}}","crossOrigin":{{(CrossOrigin ? "true" : "false")}}}""");

    /// <summary>WebAuthn, 6.1.</summary>
    public byte[] AuthenticatorData(bool withKey = false)
    {
        var data = new List<byte>();
        data.AddRange(SHA256.HashData(Encoding.UTF8.GetBytes(domain)));
        data.Add((byte)(Flags | (withKey ? Attested : 0)));
        data.AddRange(BigEndian(Counter));
        if (withKey)
        {
            data.AddRange(new byte[16]);
            data.AddRange([(byte)(Id.Length >> 8), (byte)Id.Length]);
            data.AddRange(Id);
            data.AddRange(PublicKey());
        }

        return [.. data];
    }

    public static byte[] AttestationObject(byte[] authenticatorData)
    {
        var cbor = new CborWriter(CborConformanceMode.Ctap2Canonical);
        cbor.WriteStartMap(3);
        cbor.WriteTextString("fmt");
        cbor.WriteTextString("none");
        cbor.WriteTextString("attStmt");
        cbor.WriteStartMap(0);
        cbor.WriteEndMap();
        cbor.WriteTextString("authData");
        cbor.WriteByteString(authenticatorData);
        cbor.WriteEndMap();
        return cbor.Encode();
    }

    /// <summary>As COSE has it (RFC 9053).</summary>
    public byte[] PublicKey()
    {
        var cbor = new CborWriter(CborConformanceMode.Ctap2Canonical);
        if (_key is ECDsa ec)
        {
            var point = ec.ExportParameters(false).Q;
            cbor.WriteStartMap(5);
            Number(1, 2);
            Number(3, algorithm == ES384 ? -35 : -7);
            Number(-1, algorithm == ES384 ? 2 : 1);
            Bytes(-2, point.X!); // exported, so it is there
            Bytes(-3, point.Y!);
        }
        else
        {
            var rsa = ((RSA)_key).ExportParameters(false);
            cbor.WriteStartMap(4);
            Number(1, 3);
            Number(3, -257);
            Bytes(-1, rsa.Modulus!); // exported, so it is there
            Bytes(-2, rsa.Exponent!);
        }

        cbor.WriteEndMap();
        return cbor.Encode();

        void Number(int label, int value)
        {
            cbor.WriteInt32(label);
            cbor.WriteInt32(value);
        }

        void Bytes(int label, byte[] value)
        {
            cbor.WriteInt32(label);
            cbor.WriteByteString(value);
        }
    }

    public byte[] Sign(byte[] clientData, byte[] authenticatorData)
    {
        byte[] data = [.. authenticatorData, .. SHA256.HashData(clientData)];
        return _key is ECDsa ec
            ? ec.SignData(data, algorithm == ES384 ? HashAlgorithmName.SHA384 : HashAlgorithmName.SHA256, DSASignatureFormat.Rfc3279DerSequence)
            : ((RSA)_key).SignData(data, HashAlgorithmName.SHA256, RSASignaturePadding.Pkcs1);
    }

    static byte[] BigEndian(uint number)
    {
        var bytes = new byte[4];
        BinaryPrimitives.WriteUInt32BigEndian(bytes, number);
        return bytes;
    }

    public void Dispose() => _key.Dispose();
}

/// <summary>Passkeys over HTTP.</summary>
static class Passkeys
{
    static CancellationToken Ct => TestContext.Current.CancellationToken;

    public static async Task<JsonElement> AskForNewAsync(this Person person) => await (await person.Http.PostAsync("/auth/passkeys/options", null, Ct)).JsonAsync();

    public static async Task<JsonElement> AskAsync(this TestApp app) => await (await app.Http.PostAsync("/auth/passkey/options", null, Ct)).JsonAsync();

    public static Task<HttpResponseMessage> AddAsync(this Person person, JsonElement asked, JsonObject credential, string name = "Laptop") =>
        person.Http.PostAsJsonAsync("/auth/passkeys", new { name, handle = asked.GetProperty("handle").GetString(), credential }, Ct);

    /// <summary>Registers a new passkey.</summary>
    /// <returns>Its id.</returns>
    public static async Task<Guid> AddAsync(this Person person, SoftAuthenticator authenticator, string name = "Laptop")
    {
        var asked = await person.AskForNewAsync();
        return (await (await person.AddAsync(asked, authenticator.Create(asked.GetProperty("options")), name)).JsonAsync(201)).GetProperty("id").GetGuid();
    }

    public static Task<HttpResponseMessage> SignInAsync(this TestApp app, JsonElement asked, JsonObject credential) => app.PostTokenAsync(new Dictionary<string, string>
    {
        ["grant_type"] = "urn:tandem:passkey",
        ["handle"] = asked.GetProperty("handle").GetString()!,
        ["credential"] = credential.ToJsonString(),
    });

    public static async Task<HttpResponseMessage> SignInAsync(this TestApp app, SoftAuthenticator authenticator)
    {
        var asked = await app.AskAsync();
        return await app.SignInAsync(asked, authenticator.Get(asked.GetProperty("options")));
    }
}
