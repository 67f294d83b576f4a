namespace Tandem.Users;

/// <summary>What a client says it is, cut down to what a person recognises.</summary>
static class UserAgent
{
    // Browsers name each other for compatibility: whoever comes first here is the one that is really meant.
    static readonly (string Mark, string Name)[] Browsers =
        [("Edg", "Edge"), ("OPR/", "Opera"), ("SamsungBrowser/", "Samsung Internet"), ("Firefox/", "Firefox"), ("FxiOS/", "Firefox"),
            ("CriOS/", "Chrome"), ("Chrome/", "Chrome"), ("Safari/", "Safari")];

    static readonly (string Mark, string Name)[] Systems =
        [("Android", "Android"), ("iPhone", "iPhone"), ("iPad", "iPad"), ("Windows", "Windows"), ("Mac OS X", "macOS"), ("CrOS", "ChromeOS"), ("Linux", "Linux")];

    const int MaxLength = 32;

    /// <returns>Such as <c>Firefox on Linux</c>, or the first product's name, <c>curl</c>; null when nothing can be made of it.</returns>
    public static string? FamilyOf(string? header)
    {
        if (string.IsNullOrEmpty(header))
            return null;
        var text = header.Length <= 512 ? header : header[..512];
        if (text.StartsWith("Mozilla/", StringComparison.Ordinal) && Find(Browsers, text) is { } browser)
            return Find(Systems, text) is { } system ? $"{browser} on {system}" : browser;
        // A token of RFC 9110, 5.6.2, without what could mean something to whoever shows or loads it.
        var length = 0;
        while (length < text.Length && length < MaxLength && (char.IsAsciiLetterOrDigit(text[length]) || length > 0 && text[length] is '-' or '_' or '.'))
            length++;
        return length == 0 ? null : text[..length];
    }

    static string? Find((string Mark, string Name)[] among, string text) =>
        among.FirstOrDefault(a => text.Contains(a.Mark, StringComparison.Ordinal)).Name;
}
