using System.Globalization;
using System.Text;
using QRCoder;

namespace Tandem.Users.SecondSteps;

/// <summary>A QR code as SVG: one path of squares, black on white whatever stands around it.</summary>
static class QrPicture
{
    public static string Svg(string text)
    {
        using var code = QRCodeGenerator.GenerateQrCode(text, QRCodeGenerator.ECCLevel.M);
        var squares = new StringBuilder();
        foreach (var (y, row) in code.ModuleMatrix.Index())
            for (var x = 0; x < row.Length; x++)
                if (row[x])
                    squares.Append(CultureInfo.InvariantCulture, $"M{x} {y}h1v1h-1z");
        var size = code.ModuleMatrix.Count;
        return string.Create(CultureInfo.InvariantCulture,
            $"<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {size} {size}\" width=\"{size * 5}\" height=\"{size * 5}\" shape-rendering=\"crispEdges\"><rect width=\"{size}\" height=\"{size}\" fill=\"#fff\"/><path d=\"{squares}\"/></svg>");
    }
}
