using System.Text.Json;
using System.Text.RegularExpressions;
using Tandem.Users.Hashes;

namespace Tandem.Users.Import;

/// <summary>Hashes that a program exports in parts, put together to the text that is stored.</summary>
static class SourceHashes
{
    /// <summary>PasswordCredentialModel: two members that hold JSON as text.</summary>
    public static string? Keycloak(JsonElement? credentials)
    {
        const string Field = "credentials";
        if (credentials is not { ValueKind: JsonValueKind.Array } list)
            return null;
        foreach (var credential in list.EnumerateArray().Select(c => new SourceFields(c)))
        {
            if (credential.Text("type") != "password")
                continue;
            var (secret, data) = (credential.Inner("secretData"), credential.Inner("credentialData"));
            if (secret.Text("value") is not { } value || data.Text("algorithm") is not { } algorithm)
                throw new RefusedException(Field, "has a password without secretData and credentialData");
            if (algorithm == "bcrypt")
                return SourceFields.Hash(Field, value);
            var (salt, hash) = (Plain(Field, secret.Text("salt") ?? ""), Plain(Field, value));
            var iterations = Number(Field, data.Text("hashIterations"));
            var more = data.Inner("additionalParameters");
            return SourceFields.Hash(Field, algorithm switch
            {
                "pbkdf2" => Pbkdf2Hash.Format("sha1", iterations, hash.Bytes, salt.Text, hash.Text),
                "pbkdf2-sha256" or "pbkdf2-sha512" => Pbkdf2Hash.Format(algorithm["pbkdf2-".Length..], iterations, hash.Bytes, salt.Text, hash.Text),
                "argon2" => Argon2Hash.Format("argon2" + First(more, "type"), First(more, "version") switch { "1.3" => 19, "1.0" => 16, _ => throw new RefusedException(Field, "is Argon2 of another version than 1.3 and 1.0") },
                    Number(Field, First(more, "memory")), iterations, Number(Field, First(more, "parallelism")), salt.Text, hash.Text),
                _ => throw new RefusedException(Field, $"has a password by the algorithm {Short(algorithm)}, which is not known here"),
            });
        }

        return null;
    }

    static string? First(SourceFields parameters, string name) => parameters.Json(name) is { ValueKind: JsonValueKind.Array } list && list.GetArrayLength() == 1 ? list[0].GetString() : null;

    /// <summary>custom_password_hash: see auth0.com/docs, "Bulk user import database schema and examples".</summary>
    public static string? Auth0(SourceFields custom)
    {
        const string Field = "custom_password_hash";
        var (hash, salt) = (custom.Inner("hash"), custom.Inner("salt"));
        if (custom.Text("algorithm") is not { } algorithm || hash.Text("value") is not { } value)
            return custom.Members.ValueKind == JsonValueKind.Undefined ? null : throw new RefusedException(Field, "is without its algorithm or hash");
        if (custom.Inner("password").Text("encoding") is { } encoding and not "utf8")
            throw new RefusedException(Field, $"is made of passwords in {Short(encoding)}, not of utf8");
        switch (algorithm)
        {
            case "bcrypt" or "argon2" or "pbkdf2" or "ldap":
                return SourceFields.Hash(Field, value);
            case "md5" or "sha1" or "sha256" or "sha512":
                var place = salt.Text("value") is null ? "none" : salt.Text("position") ?? "";
                return SourceFields.Hash(Field, DigestHash.Format(algorithm, place, Bytes(Field, salt), Bytes(Field, hash)));
            case "scrypt":
                if (custom.Text("cost") is not { } cost || custom.Text("blockSize") is not { } block || custom.Text("parallelization") is not { } lanes || custom.Text("keylen") is not { } length)
                    throw new RefusedException(Field, "is scrypt without its cost, blockSize, parallelization or keylen");
                var n = Number(Field, cost);
                if (!int.IsPow2(n))
                    throw new RefusedException(Field, "has a scrypt cost (N) that is no power of two");
                return SourceFields.Hash(Field, ScryptHash.Format(int.Log2(n), Number(Field, block), Number(Field, lanes), Bytes(Field, salt), Bytes(Field, hash), Number(Field, length)));
            default:
                throw new RefusedException(Field, $"is by the algorithm {Short(algorithm)}, which is not known here");
        }
    }

    /// <summary>What "value" says by its encoding, as base64 without padding.</summary>
    static string Bytes(string field, SourceFields from)
    {
        var value = from.Text("value") ?? "";
        try
        {
            return HashText.Encode(from.Text("encoding") switch
            {
                null or "utf8" => System.Text.Encoding.UTF8.GetBytes(value),
                "hex" => Convert.FromHexString(value),
                "base64" => Convert.FromBase64String(value),
                var other => throw new RefusedException(field, $"has bytes in {Short(other)}; known are utf8, hex and base64"),
            });
        }
        catch (FormatException)
        {
            throw new RefusedException(field, $"has bytes that are not in {from.Text("encoding")}");
        }
    }

    /// <summary>auth:export, with the project's parameters.</summary>
    public static string? Firebase(SourceFields user, FirebaseKey? key)
    {
        if (user.Text("passwordHash") is not { } hash)
            return null;
        if (key is null)
            throw new RefusedException("passwordHash", "needs the project's hash parameters: --firebase-hash FILE");
        return SourceFields.Hash("passwordHash", FirebaseHash.Format(key.MemoryCost, key.Rounds, key.SaltSeparator, key.SignerKey, Standard(user.Text("salt") ?? ""), Standard(hash)));
    }

    /// <summary>The alphabet that addresses use, which Google's interfaces give, brought to base64's own.</summary>
    static string Standard(string base64) => base64.Replace('-', '+').Replace('_', '/');

    /// <summary>Base64 with padding, taken apart and written without.</summary>
    static (string Text, int Bytes) Plain(string field, string base64)
    {
        try
        {
            var bytes = Convert.FromBase64String(base64);
            return (HashText.Encode(bytes), bytes.Length);
        }
        catch (FormatException)
        {
            throw new RefusedException(field, "has a salt or value that is no base64");
        }
    }

    static int Number(string field, string? text) => int.TryParse(text, System.Globalization.NumberStyles.None, System.Globalization.CultureInfo.InvariantCulture, out var number)
        ? number
        : throw new RefusedException(field, "has parameters that are no numbers");

    static string Short(string name) => name.Length <= 32 && name.All(c => char.IsAsciiLetterOrDigit(c) || c is '-' or '_') ? $"\"{name}\"" : "of a strange name";
}

/// <summary>The parameters of a Firebase project's hashes, as its console shows them.</summary>
/// <param name="SignerKey">Base64.</param>
/// <param name="SaltSeparator">Base64.</param>
/// <param name="Rounds">8 in most projects.</param>
/// <param name="MemoryCost">14 in most projects.</param>
sealed partial record FirebaseKey(string SignerKey, string SaltSeparator, int Rounds, int MemoryCost)
{
    /// <summary>Reads the block <c>hash_config { … }</c> that the console shows under Authentication, Users, "Password hash parameters".</summary>
    /// <returns>Null when it is not whole.</returns>
    public static FirebaseKey? Read(string block)
    {
        string? Value(string name) => Line().Matches(block).FirstOrDefault(m => m.Groups[1].Value == name)?.Groups[2].Value;
        return Value("algorithm") is null or "SCRYPT" && Value("base64_signer_key") is { } signer && Value("base64_salt_separator") is { } separator
            && int.TryParse(Value("rounds"), out var rounds) && int.TryParse(Value("mem_cost"), out var memory)
            ? new FirebaseKey(signer, separator, rounds, memory)
            : null;
    }

    // With or without the quotes of JSON.
    [GeneratedRegex("""["']?([a-z0-9_]+)["']?\s*:\s*["']?([A-Za-z0-9+/=_-]+)["']?""")]
    private static partial Regex Line();
}
