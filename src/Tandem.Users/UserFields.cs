using System.ComponentModel.DataAnnotations;
using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Text.RegularExpressions;

namespace Tandem.Users;

/// <summary>Who signs up.</summary>
/// <param name="Email">Compared without regard to case; at most 254 characters.</param>
/// <param name="Name">1 to 200 characters, not only blanks.</param>
/// <param name="Password">8 to 256 characters.</param>
public sealed record NewUser(
    [Email, MaxLength(254)] string Email,
    [NotBlank, MaxLength(200)] string Name,
    [MinLength(Passwords.MinLength), MaxLength(Passwords.MaxLength)] string Password);

/// <summary>What is to change; a field left out stays as it is.</summary>
public sealed record UserChange
{
    /// <summary>1 to 200 characters, not only blanks.</summary>
    [NotBlank, MaxLength(200), DisallowNull]
    public string? Name { get; init; }

    /// <summary>Administrators, or the scope users:write.</summary>
    [DisallowNull]
    public bool? IsActive { get; init; }
}

/// <summary>A user.</summary>
/// <param name="Id">Never used again.</param>
/// <param name="Email">In lower case.</param>
/// <param name="Name">As the person writes it.</param>
/// <param name="CreatedAt">UTC, whole seconds.</param>
/// <param name="IsActive">False: it cannot sign in, and its tokens are worth nothing.</param>
public sealed record UserView(long Id, string Email, string Name, DateTime CreatedAt, bool IsActive)
{
    internal static UserView Of(Account account) => new(account.Id, account.Email, account.Name, account.CreatedAt, account.IsActive);
}

/// <summary>
/// An address that mail can be sent to over the internet: one @, something before it, a domain of at least two labels behind it. The
/// framework's own attribute lets blanks and a lone host through. Whether somebody reads it there only a mail can tell.
/// </summary>
sealed partial class EmailAttribute : ValidationAttribute
{
    public EmailAttribute() => ErrorMessage = "must be an e-mail address, like ada@example.com";

    public override bool IsValid(object? value) => value is null || value is string text && text.Length <= 1000 && Form().IsMatch(text);

    // Local part: RFC 5321's 64 characters, without quoting. Domain: labels of letters, digits and inner hyphens, in any script.
    [GeneratedRegex("""^(?!\.)[^\s\p{C}@"(),:;<>\[\]\\]{1,64}(?<!\.)@(?:[\p{L}\p{N}](?:[\p{L}\p{M}\p{N}-]{0,61}[\p{L}\p{M}\p{N}])?\.)+[\p{L}\p{N}](?:[\p{L}\p{M}\p{N}-]{0,61}[\p{L}\p{M}\p{N}])\z""",
        RegexOptions.CultureInvariant)]
    private static partial Regex Form();
}

/// <summary>Not empty, and not only blanks or invisible characters.</summary>
sealed class NotBlankAttribute : ValidationAttribute
{
    public NotBlankAttribute() => ErrorMessage = "must not be empty or blank";

    public override bool IsValid(object? value) => value is null || value is string text && text.EnumerateRunes().Any(r => !IsBlank(r));

    static bool IsBlank(System.Text.Rune r) => System.Text.Rune.IsWhiteSpace(r)
        || System.Text.Rune.GetUnicodeCategory(r) is UnicodeCategory.Control or UnicodeCategory.Format;
}
