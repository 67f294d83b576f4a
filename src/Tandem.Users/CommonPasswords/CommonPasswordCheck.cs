using Tandem.Core.Configuration;
using Tandem.Core.Http;

namespace Tandem.Users.CommonPasswords;

/// <summary>Refuses passwords that attackers try first. It asks nobody: of a password not even a part of its hash leaves the machine.</summary>
sealed class CommonPasswordCheck(UsersOptions options) : IDisposable
{
    public const string Message = "is one of those that are tried first: it stands in lists of common or leaked passwords; take another";

    readonly Lazy<PasswordFilter[]> _filters = new(() => options.RefusesCommonPasswords ? [Common(), .. options.PasswordFilter is { } path ? [PasswordFilter.Open(path)] : Array.Empty<PasswordFilter>()] : []);

    /// <exception cref="ConfigurationException">The filter that the settings name cannot be used.</exception>
    public void CheckSettings()
    {
        try
        {
            if (options.PasswordFilter is { } path)
                PasswordFilter.Open(path).Dispose();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or InvalidDataException)
        {
            throw new ConfigurationException($"Users:PasswordFilter: {e.Message}");
        }
    }

    /// <summary>Also in small letters: the lists are, and so are the tries.</summary>
    public bool IsCommon(string password) => _filters.Value.Any(f => f.Contains(password) || f.Contains(password.ToLowerInvariant()));

    /// <exception cref="ProblemException">http/invalid (422), for the field <c>password</c>.</exception>
    public void Refuse(string password)
    {
        if (Errors(password) is { Count: > 0 } errors)
            throw new ProblemException(HttpProblems.Invalid, null, errors);
    }

    public IReadOnlyDictionary<string, string[]> Errors(string password) =>
        IsCommon(password) ? new Dictionary<string, string[]> { ["password"] = [Message] } : [];

    /// <summary>What is in the program: 17,950 common passwords of eight characters and more; docs/guide/passwords.md says from where.</summary>
    public static PasswordFilter Common()
    {
        using var stream = typeof(CommonPasswordCheck).Assembly.GetManifestResourceStream("common.filter") ?? throw new InvalidOperationException("The program was built without its list of passwords.");
        var bytes = new byte[stream.Length];
        stream.ReadExactly(bytes);
        return PasswordFilter.Of(bytes, "common.filter");
    }

    public void Dispose()
    {
        if (_filters.IsValueCreated)
            foreach (var filter in _filters.Value)
                filter.Dispose();
    }
}
