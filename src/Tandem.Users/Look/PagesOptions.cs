using System.ComponentModel.DataAnnotations;
using System.Globalization;
using Tandem.Core.Configuration;

namespace Tandem.Users.Look;

/// <summary>Settings of how the pages look and speak, section <c>Pages</c>: sign-in, consent, account and all others that people meet.</summary>
public sealed class PagesOptions
{
    /// <summary>What your product is called on the pages. Default: <c>Mail:Product</c>.</summary>
    [MaxLength(100)]
    public string? Product { get; set; }

    /// <summary>A picture above every page: a PNG, JPEG, WebP or SVG file of at most 48 KiB. It goes into the pages themselves. Default none.</summary>
    public string? Logo { get; set; }

    /// <summary>The colour of buttons and links, such as #14507a. Default #14507a.</summary>
    public string Accent { get; set; } = "#14507a";

    /// <summary>The same where the system is dark. Default #8cc4ee.</summary>
    public string AccentDark { get; set; } = "#8cc4ee";

    /// <summary>The colour of text. Default #1a1a1a.</summary>
    public string Text { get; set; } = "#1a1a1a";

    /// <summary>The same where the system is dark. Default #ececec.</summary>
    public string TextDark { get; set; } = "#ececec";

    /// <summary>The colour behind everything. Default #ffffff.</summary>
    public string Background { get; set; } = "#ffffff";

    /// <summary>The same where the system is dark. Default #161616.</summary>
    public string BackgroundDark { get; set; } = "#161616";

    /// <summary>A style sheet of your own behind ours, at most 64 KiB. It loads nothing from elsewhere. Default none.</summary>
    public string? StyleSheet { get; set; }

    /// <summary>Where your terms are; a link at the foot of every page. Default none.</summary>
    [Url]
    public string? Terms { get; set; }

    /// <summary>Where you say what happens to people's data; a link at the foot. Default none.</summary>
    [Url]
    public string? Privacy { get; set; }

    /// <summary>Where people get help: an e-mail address or an https address; a link at the foot. Default none.</summary>
    public string? Support { get; set; }

    /// <summary>The language of whoever wants none that there is. Default en.</summary>
    public string Language { get; set; } = "en";

    /// <summary>A folder with further languages, or other words: it.json, de.json, … as docs/guide/account-pages.md says. Default none.</summary>
    public string? Texts { get; set; }

    const int MaxLogoBytes = 48 << 10;
    const int MaxStyleSheetBytes = 64 << 10;

    // WCAG 2.2, 1.4.3: of text to what is behind it.
    const double Contrast = 4.5;

    internal const string Wrong = "#a40000";
    internal const string WrongDark = "#ff9a9a";

    /// <exception cref="ConfigurationException">A setting cannot be used; the message says which and why.</exception>
    internal void Check()
    {
        foreach (var (name, colour) in new[] { (nameof(Accent), Accent), (nameof(AccentDark), AccentDark), (nameof(Text), Text), (nameof(TextDark), TextDark), (nameof(Background), Background), (nameof(BackgroundDark), BackgroundDark) })
            if (colour is not ['#', ..] || colour.Length != 7 || !colour[1..].All(char.IsAsciiHexDigit))
                throw new ConfigurationException($"Pages:{name} must be a colour such as #14507a; it is \"{colour}\".");
        Require(nameof(Text), Text, nameof(Background), Background);
        Require(nameof(TextDark), TextDark, nameof(BackgroundDark), BackgroundDark);
        Require(nameof(Accent), Accent, nameof(Background), Background);
        Require(nameof(AccentDark), AccentDark, nameof(BackgroundDark), BackgroundDark);
        if (ContrastOf(Wrong, Background) < Contrast)
            throw new ConfigurationException($"Pages:Background is {Background}: errors are written in {Wrong}, which cannot be read on it. Take a lighter one.");
        if (ContrastOf(WrongDark, BackgroundDark) < Contrast)
            throw new ConfigurationException($"Pages:BackgroundDark is {BackgroundDark}: errors are written in {WrongDark}, which cannot be read on it. Take a darker one.");
        foreach (var (name, address) in new[] { (nameof(Terms), Terms), (nameof(Privacy), Privacy) })
            if (address is not null && !IsWebAddress(address))
                throw new ConfigurationException($"Pages:{name} must be an http or https address; it is \"{address}\".");
        if (Support is not null && !IsWebAddress(Support) && !new EmailAttribute().IsValid(Support))
            throw new ConfigurationException($"Pages:Support must be an e-mail address or an https address; it is \"{Support}\".");
        if (Logo is not null)
            _ = LogoAddress();
        if (StyleSheet is not null)
            _ = ReadStyleSheet();
        Languages.Check(this);
    }

    /// <summary>The logo as a data: address; null: there is none.</summary>
    internal string? LogoAddress()
    {
        if (Logo is null)
            return null;
        var bytes = ReadFile(nameof(Logo), Logo, MaxLogoBytes);
        return $"data:{TypeOf(bytes) ?? throw new ConfigurationException($"Pages:Logo must be a PNG, JPEG, WebP or SVG file; {Logo} begins like none of them.")};base64,{Convert.ToBase64String(bytes)}";
    }

    /// <summary>The own style sheet; empty: there is none.</summary>
    internal string ReadStyleSheet()
    {
        if (StyleSheet is null)
            return "";
        var text = System.Text.Encoding.UTF8.GetString(ReadFile(nameof(StyleSheet), StyleSheet, MaxStyleSheetBytes)).ReplaceLineEndings("\n");
        // It stands inside the page: these would end the style sheet there.
        if (text.Contains("</", StringComparison.Ordinal) || text.Contains("<!--", StringComparison.Ordinal))
            throw new ConfigurationException($"Pages:StyleSheet: {StyleSheet} has \"</\" or \"<!--\" in it, which no style sheet needs.");
        if (text.Contains("@import", StringComparison.OrdinalIgnoreCase) || text.Replace(" ", "", StringComparison.Ordinal).Replace("url(data:", "", StringComparison.OrdinalIgnoreCase).Replace("url(\"data:", "", StringComparison.OrdinalIgnoreCase)
            .Contains("url(", StringComparison.OrdinalIgnoreCase))
            throw new ConfigurationException($"Pages:StyleSheet: {StyleSheet} loads something by @import or url(…); the pages load nothing. Only url(data:…) may be there.");
        return text;
    }

    static byte[] ReadFile(string name, string path, int most)
    {
        try
        {
            if (new FileInfo(path).Length > most)
                throw new ConfigurationException($"Pages:{name}: {path} has more than {most} bytes.");
            return File.ReadAllBytes(path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new ConfigurationException($"Pages:{name}: {e.Message}");
        }
    }

    /// <summary>By how the file begins, not by its name. SVG is shown as a picture alone, in which browsers run nothing.</summary>
    static string? TypeOf(ReadOnlySpan<byte> bytes) =>
        bytes.Length > 8 && bytes[0] == 0x89 && bytes[1..8].SequenceEqual("PNG\r\n\x1a\n"u8) ? "image/png"
        : bytes.Length > 3 && bytes[0] == 0xFF && bytes[1] == 0xD8 && bytes[2] == 0xFF ? "image/jpeg"
        : bytes.Length > 12 && bytes.StartsWith("RIFF"u8) && bytes[8..12].SequenceEqual("WEBP"u8) ? "image/webp"
        : IsSvg(bytes) ? "image/svg+xml" : null;

    static bool IsSvg(ReadOnlySpan<byte> bytes)
    {
        var text = System.Text.Encoding.UTF8.GetString(bytes).TrimStart('\ufeff', ' ', '\r', '\n', '\t');
        return (text.StartsWith("<svg", StringComparison.Ordinal) || text.StartsWith("<?xml", StringComparison.Ordinal)) && text.Contains("http://www.w3.org/2000/svg", StringComparison.Ordinal);
    }

    static bool IsWebAddress(string text) => Uri.TryCreate(text, UriKind.Absolute, out var uri) && uri.Scheme is "http" or "https";

    static void Require(string name, string colour, string behindName, string behind)
    {
        if (ContrastOf(colour, behind) is < Contrast and var contrast)
            throw new ConfigurationException(string.Create(CultureInfo.InvariantCulture,
                $"Pages:{name} ({colour}) on Pages:{behindName} ({behind}) has a contrast of {contrast:0.00}:1; text that everybody can read has at least {Contrast}:1 (WCAG 2.2, 1.4.3). Take one that is darker or lighter."));
    }

    /// <summary>Black or white, whichever is easier to read on a colour; one of them always has at least 4.58:1.</summary>
    internal static string On(string colour) => ContrastOf("#ffffff", colour) >= ContrastOf("#000000", colour) ? "#ffffff" : "#000000";

    /// <summary>WCAG 2.2, contrast ratio: 1 to 21.</summary>
    internal static double ContrastOf(string one, string other)
    {
        var (a, b) = (Luminance(one), Luminance(other));
        return (Math.Max(a, b) + 0.05) / (Math.Min(a, b) + 0.05);
    }

    static double Luminance(string colour)
    {
        return 0.2126 * Linear(1) + 0.7152 * Linear(3) + 0.0722 * Linear(5);

        double Linear(int at)
        {
            var part = byte.Parse(colour.AsSpan(at, 2), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture) / 255.0;
            return part <= 0.04045 ? part / 12.92 : Math.Pow((part + 0.055) / 1.055, 2.4);
        }
    }
}
